package occupancyhttp_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// bothProtocols runs a test with HTTP/1.1 and with HTTP/2. Each run is in a synctest
// bubble, so it fails if a goroutine remains at the end.
func bothProtocols(t *testing.T, f func(t *testing.T, configure func(*http.Server))) {
	t.Run("HTTP1", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, func(*http.Server) {}) })
	})
	t.Run("HTTP2", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, http2) }) })
}

func TestStreamEnds_AfterLastEventOfClosedEngine(t *testing.T) {
	bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
		e := newEngine(t, occupancy.WithInterval(time.Hour))
		s := newTestServer(t, occupancyhttp.NewHandler(e), configure)
		streamOfRoom := s.openStream("/events?room=lobby")
		streamOfRooms := s.openStream("/events?room=other&room=lobby")
		streamOfRoom.nextEvent()
		streamOfRooms.nextEvent()
		streamOfRooms.nextEvent()
		for range 3 { // only the first change is published immediately
			must(t, e.Join("lobby"))
			synctest.Wait()
		}
		must(t, e.Close())
		for _, stream := range []*streamReader{streamOfRoom, streamOfRooms} {
			rest := stream.readToEnd()
			if at := strings.LastIndex(rest, "data: "); at < 0 || !strings.Contains(rest[at:], `"connections":3`) {
				t.Errorf("the stream ended with %q", rest)
			}
		}
		resp, _ := s.get(http.MethodGet, "/events?room=lobby")
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s after Close", resp.Status)
		}
	})
}

func TestStreamEnds_ClientDisconnected(t *testing.T) {
	bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e)
		s := newTestServer(t, h, configure)
		a := s.openStream("/events?room=lobby")
		b := s.openStream("/events?room=lobby&room=other")
		a.nextEvent()
		b.nextEvent()
		a.close()
		synctest.Wait()
		if got := h.Stats(); got.Streams != 1 || got.Rooms != 2 {
			t.Errorf("%+v with one stream of two rooms", got)
		}
		b.close()
		synctest.Wait()
		wantNoStreams(t, e, h)
	})
}

func TestStreamEnds_RequestCanceled(t *testing.T) {
	bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
		h := occupancyhttp.NewHandler(newEngine(t))
		s := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Minute) // the session expires
			defer cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		}), configure)
		start := time.Now()
		stream := s.openStream("/events?room=lobby")
		stream.readToEnd()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestStreamEnds_ConnectionIsReusable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(0)))
		stream := s.openStream("/events?room=lobby")
		stream.nextEvent()
		time.Sleep(time.Minute) // longer than the write timeout, with no write in progress
		must(t, e.Close())
		stream.readToEnd()
		time.Sleep(time.Minute) // longer than the write deadline, which must have been cleared
		if resp, _ := s.get(http.MethodGet, "/occupancy.js"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s", resp.Status)
		}
		if got := s.pipes.dialed.Load(); got != 1 {
			t.Errorf("%d connections", got)
		}
	})
}

// A stream that is opened while the engine closes either ends or is refused.
func TestStreamEnds_EngineClosesWhileStreamsOpen(t *testing.T) {
	for range 20 {
		e := occupancy.New(occupancy.WithInterval(0))
		h := occupancyhttp.NewHandler(e)
		var streams sync.WaitGroup
		for i := range 50 {
			path := "/events?room=lobby"
			if i%2 == 0 {
				path = "/events?room=lobby&room=other"
			}
			streams.Go(func() {
				resp := serve(h, http.MethodGet, path)
				if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("%s", resp.Status)
				}
			})
		}
		must(t, e.Close())
		streams.Wait()
	}
}

// Browsers use HTTP/2 only over TLS.
func TestStream_HTTP2OverTLS(t *testing.T) {
	e := newEngine(t)
	s := httptest.NewUnstartedServer(occupancyhttp.NewHandler(e))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	resp, err := s.Client().Get(s.URL + "/events?room=lobby")
	must(t, err)
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol %s", resp.Proto)
	}
	stream := &streamReader{t: t, resp: resp, lines: bufio.NewReader(resp.Body), cancel: func() {}}
	stream.readUntil(0)
	must(t, e.Join("lobby"))
	stream.readUntil(1)
	down := make(chan error)
	go func() { down <- s.Config.Shutdown(t.Context()) }()
	stream.readToEnd()
	must(t, <-down)
}
