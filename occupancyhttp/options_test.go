package occupancyhttp_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestNewHandler_InvalidArgumentsPanic(t *testing.T) {
	e := newEngine(t)
	for name, call := range map[string]func(){
		"streams":   func() { occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(-1)) },
		"heartbeat": func() { occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(-1)) },
		"engine":    func() { occupancyhttp.NewHandler(nil) },
		"authorize": func() { occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(nil)) },
		"rooms":     func() { occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorizeRooms(nil)) },
		"again":     func() { occupancyhttp.NewHandler(e, occupancyhttp.WithReauthorize(-1)) },
		"lifetime":  func() { occupancyhttp.NewHandler(e, occupancyhttp.WithStreamLifetime(-1)) },
		"key":       func() { occupancyhttp.NewHandler(e, occupancyhttp.WithStreamKey(nil, 1)) },
		"per key":   func() { occupancyhttp.NewHandler(e, occupancyhttp.WithStreamKey(nil, -1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func TestHeartbeat_IdleStreamStaysOpen(t *testing.T) {
	for _, configure := range []func(*http.Server){
		func(s *http.Server) { s.ReadTimeout, s.WriteTimeout = time.Second, time.Second },
		func(s *http.Server) { http2(s); s.ReadTimeout, s.WriteTimeout = time.Second, time.Second },
	} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(40*time.Second)), configure)
			stream := s.openStream("/events?room=lobby")
			if stream.resp.Header.Get("Occupancy-Heartbeat") != "40" {
				t.Errorf("%v", stream.resp.Header)
			}
			stream.nextEvent()
			start := time.Now()
			for i := range 3 {
				frame, err := stream.nextFrame()
				must(t, err)
				if took := time.Since(start); frame != ":\n\n" || took != time.Duration(i+1)*40*time.Second {
					t.Errorf("%q after %v", frame, took)
				}
			}
			time.Sleep(30 * time.Second)
			must(t, e.Join("lobby"))
			stream.readUntil(1)
			if frame, err := stream.nextFrame(); frame != ":\n\n" || err != nil || time.Since(start) != 160*time.Second {
				t.Errorf("%q, %v after %v", frame, err, time.Since(start))
			}
			stream.close()
		})
	}
}

func TestHeartbeat_Disabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(0), occupancyhttp.WithStreamLifetime(0)))
		stream := s.openStream("/events?room=lobby")
		stream.nextEvent()
		time.AfterFunc(24*time.Hour, func() { _ = e.Join("lobby") })
		frame, err := stream.nextFrame()
		must(t, err)
		if !strings.Contains(frame, `"connections":1`) || stream.resp.Header.Get("Occupancy-Heartbeat") != "" {
			t.Errorf("%q", frame)
		}
		stream.close()
	})
}

func TestMaxStreams_RefusedWithRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(2))
		s := newTestServer(t, h)
		a := s.openStream("/events?room=a")
		b := s.openStream("/events?room=b&room=c")
		resp, body := s.get(http.MethodGet, "/events?room=d")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "stream_limit") {
			t.Errorf("%s %v %s", resp.Status, resp.Header, body)
		}
		if got := h.Stats(); got.Rooms != 3 || got.Refused["stream_limit"] != 1 {
			t.Errorf("%+v", got)
		}
		if resp, _ := s.get(http.MethodGet, "/rooms/d"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: the limit is applied to a request that is not a stream", resp.Status)
		}
		a.close()
		synctest.Wait()
		c := s.openStream("/events?room=d")
		c.nextEvent()
		b.close()
		c.close()
	})
}

// logFunc is an slog.Handler that calls a function for each record.
type logFunc func(slog.Record)

func (f logFunc) Enabled(context.Context, slog.Level) bool      { return true }
func (f logFunc) Handle(_ context.Context, r slog.Record) error { f(r); return nil }
func (f logFunc) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f logFunc) WithGroup(string) slog.Handler                 { return f }

// Clients that are refused again and again cannot fill the log.
func TestLogger_LimitsWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged []string
		h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithMaxStreams(1), occupancyhttp.WithHeartbeat(0), occupancyhttp.WithLogger(slog.New(logFunc(func(r slog.Record) {
			if r.Level == slog.LevelWarn {
				logged = append(logged, r.Message)
			}
		}))))
		stream := newTestServer(t, h).openStream("/events?room=lobby")
		stream.nextEvent()
		for range 121 {
			if got := serve(h, http.MethodGet, "/events?room=lobby").StatusCode; got != http.StatusServiceUnavailable {
				t.Error(got)
			}
			time.Sleep(time.Second)
		}
		stream.close()
		text := "occupancyhttp: stream limit reached"
		if want := []string{text, text, text}; !slices.Equal(logged, want) {
			t.Errorf("%q, want %q", logged, want)
		}
	})
}

// While the handler logs the refusal of a stream, the refused stream does not count.
func TestMaxStreams_RefusedStreamDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusing := make(chan struct{}, 2)
		h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithMaxStreams(1),
			occupancyhttp.WithLogger(slog.New(logFunc(func(r slog.Record) {
				if r.Level == slog.LevelWarn {
					refusing <- struct{}{}
					time.Sleep(time.Minute) // a slow log
				}
			}))))
		s := newTestServer(t, h)
		first := s.openStream("/events?room=lobby")
		refused := make(chan int)
		go func() { refused <- serve(h, http.MethodGet, "/events?room=lobby").StatusCode }()
		<-refusing
		first.close()
		synctest.Wait()
		resp, err := s.client.Do(s.request(http.MethodGet, "/events?room=lobby"))
		must(t, err)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s while another stream is being refused", resp.Status)
		}
		resp.Body.Close()
		if got := <-refused; got != http.StatusServiceUnavailable {
			t.Errorf("status %d", got)
		}
	})
}
