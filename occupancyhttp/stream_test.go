package occupancyhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestStream_SnapshotThenEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("lobby"))
		s := newTestServer(t, occupancyhttp.NewHandler(e))
		stream := s.openStream("/rooms/lobby/occupancy/events")
		for name, want := range map[string]string{
			"Content-Type":        "text/event-stream",
			"Cache-Control":       "no-store",
			"X-Accel-Buffering":   "no",
			"Occupancy-Heartbeat": "15",
		} {
			if got := stream.resp.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		var versions []string
		for i, want := range []string{
			`{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}`,
			`{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":1}}`,
		} {
			frame, err := stream.nextFrame()
			must(t, err)
			lines := strings.Split(frame, "\n")
			if len(lines) != 5 || lines[0] != "event: occupancy.updated" || !strings.HasPrefix(lines[1], "id: ") || lines[2] != "data: "+want || lines[3] != "" {
				t.Errorf("frame %d is %q", i, frame)
			}
			versions = append(versions, lines[1])
			time.Sleep(time.Second)
			if i == 0 {
				must(t, e.Enter("lobby", "alice"))
			}
		}
		sub, err := e.Subscribe("lobby")
		must(t, err)
		if v := (<-sub.Events()).Version; versions[1] != fmt.Sprintf("id: %d", v) || versions[0] != fmt.Sprintf("id: %d", v-1) {
			t.Errorf("ids %q, want the versions up to %d", versions, v)
		}
		stream.close()
	})
}

func TestStreamOfRooms_EventsContainTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("b"))
		s := newTestServer(t, occupancyhttp.NewHandler(e))
		stream := s.openStream("/occupancy/events?room=a&room=b&room=a&room=" + "%22%0A%3C")
		got := map[string]string{}
		for range 3 { // the duplicate room has one event
			frame, err := stream.nextFrame()
			must(t, err)
			lines := strings.Split(frame, "\n")
			if len(lines) != 5 || lines[0] != "event: occupancy.updated" || !strings.HasPrefix(lines[1], "id: ") || lines[3] != "" {
				t.Errorf("frame is %q", frame)
			}
			data := strings.TrimPrefix(lines[2], "data: ")
			var n streamEvent
			must(t, json.Unmarshal([]byte(data), &n))
			got[n.Room] = data
		}
		for room, want := range map[string]string{
			"a":     `{"room":"a","type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}`,
			"b":     `{"room":"b","type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}`,
			"\"\n<": `{"room":"\"\n\u003c","type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}`,
		} {
			if got[room] != want {
				t.Errorf("%q: %s, want %s", room, got[room], want)
			}
		}
		must(t, e.Join("a"))
		if n := stream.nextEvent(); n.Room != "a" || n.Occupancy.Connections != 1 {
			t.Errorf("%+v", n)
		}
		stream.close()
	})
}

// roomsQuery names n rooms, each twice.
func roomsQuery(n int) string {
	var q strings.Builder
	q.WriteString("/occupancy/events?")
	for range 2 {
		for i := range n {
			fmt.Fprintf(&q, "room=room-%d&", i)
		}
	}
	return strings.TrimSuffix(q.String(), "&")
}

func TestStreamOfRooms_AtMost256(t *testing.T) {
	for _, proto := range []struct {
		name      string
		configure func(*http.Server)
	}{{"HTTP/1.1", func(*http.Server) {}}, {"HTTP/2.0", http2}} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			s := newTestServer(t, occupancyhttp.NewHandler(e), proto.configure)
			stream := s.openStream(roomsQuery(256))
			if stream.resp.Proto != proto.name {
				t.Errorf("protocol %s", stream.resp.Proto)
			}
			seen := map[string]bool{}
			for range 256 {
				seen[stream.nextEvent().Room] = true
			}
			if len(seen) != 256 || e.Stats().Subscriptions != 256 {
				t.Errorf("events of %d rooms, %d subscriptions", len(seen), e.Stats().Subscriptions)
			}
			for i := range 256 {
				must(t, e.Join(fmt.Sprintf("room-%d", i)))
			}
			clear(seen)
			for range 256 {
				n := stream.nextEvent()
				seen[n.Room] = n.Occupancy.Connections == 1
			}
			for i := range 256 {
				if room := fmt.Sprintf("room-%d", i); !seen[room] {
					t.Errorf("no event of %s", room)
				}
			}
			stream.close()
			synctest.Wait()
			if got := e.Stats().Subscriptions; got != 0 {
				t.Errorf("%d subscriptions remain", got)
			}

			resp, _ := s.get(http.MethodGet, roomsQuery(257))
			if resp.StatusCode != http.StatusBadRequest || e.Stats().Subscriptions != 0 {
				t.Errorf("257 rooms: %s, %d subscriptions", resp.Status, e.Stats().Subscriptions)
			}
		})
	}
}

func TestAuthorize_DenialRevealsNothing(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("secret"))
	var mu sync.Mutex
	var asked []string
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, room)
		if got := e.Stats().Subscriptions; got != 0 {
			t.Errorf("%d subscriptions before access to %s was checked", got, room)
		}
		switch room {
		case "secret", "nothing":
			return errors.New("the secret reason")
		}
		return nil
	}))
	answer := func(path string) string {
		resp := serve(h, http.MethodGet, path)
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, resp.Status)
		}
		f := decodeError(t, resp)
		return fmt.Sprint(resp.Header, f.Error.Code, f.Error.Message)
	}
	for _, form := range []string{
		"/rooms/%s/occupancy", "/rooms/%s/occupancy/events", "/occupancy/events?room=%s", "/occupancy/events?room=a&room=b&room=%s&room=c",
	} {
		existing, unknown := answer(fmt.Sprintf(form, "secret")), answer(fmt.Sprintf(form, "nothing"))
		if existing != unknown {
			t.Errorf("%s: existing room: %s\nunknown room: %s", form, existing, unknown)
		}
		if strings.Contains(existing, "secret") {
			t.Errorf("%s: %s", form, existing)
		}
	}
	if f := decodeError(t, serve(h, http.MethodGet, "/occupancy/events?room=a&room=secret")); f.Error.Room != "secret" {
		t.Errorf("the error names room %q", f.Error.Room)
	}
	if e.Stats().Rooms != 1 || e.Stats().Subscriptions != 0 {
		t.Errorf("%+v after only refused requests", e.Stats())
	}

	asked = nil
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var asked []string
		s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
			asked = append(asked, r.URL.Query().Get("who")+" "+room)
			return nil
		})))
		stream := s.openStream("/occupancy/events?who=alice&room=a&room=b&room=a")
		stream.nextEvent()
		if got := fmt.Sprint(asked); got != "[alice a alice b]" {
			t.Errorf("authorize called for %s", got)
		}
		stream.close()
	})
}

func TestAuthorize_Unauthorized(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(*http.Request, string) error {
		return fmt.Errorf("no cookie: %w", occupancyhttp.ErrUnauthorized)
	}))
	for _, path := range []string{"/rooms/lobby/occupancy", "/rooms/lobby/occupancy/events", "/occupancy/events?room=lobby"} {
		resp := serve(h, http.MethodGet, path)
		if f := decodeError(t, resp); resp.StatusCode != http.StatusUnauthorized || f.Error.Code != "unauthorized" || strings.Contains(f.Error.Message, "cookie") {
			t.Errorf("%s: %s %+v", path, resp.Status, f)
		}
	}
}

// A 401 for one of several rooms names the room, so that the client can retry without it.
// If the request may read none of the rooms, the client has to authenticate first.
func TestAuthorize_401NamesRoomIfAnotherIsAllowed(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		switch room {
		case "public":
			return nil
		case "private":
			return occupancyhttp.ErrUnauthorized
		}
		return errors.New("denied")
	}))
	for query, want := range map[string]struct {
		status int
		room   string
	}{
		"room=private":                         {401, ""},
		"room=private&room=hidden":             {401, ""},
		"room=private&room=public":             {401, "private"},
		"room=public&room=private":             {401, "private"},
		"room=public&room=hidden&room=private": {403, "hidden"},
		"room=hidden":                          {403, "hidden"},
		"room=hidden&room=private":             {403, "hidden"},
	} {
		resp := serve(h, http.MethodGet, "/occupancy/events?"+query)
		if f := decodeError(t, resp); resp.StatusCode != want.status || f.Error.Room != want.room {
			t.Errorf("%s: %s, room %q, want %d, %q", query, resp.Status, f.Error.Room, want.status, want.room)
		}
	}
}

func TestStream_IgnoresLastEventID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newTestServer(t, occupancyhttp.NewHandler(e))
		stream := s.openStream("/rooms/lobby/occupancy/events")
		first := stream.nextEvent()
		again := s.openStream("/rooms/lobby/occupancy/events", "Last-Event-ID", first.id)
		if n := again.nextEvent(); n != first {
			t.Errorf("%+v, want the snapshot %+v", n, first)
		}
		stream.close()
		again.close()
	})
}

func TestStream_BlockedClientIsClosedAndDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(time.Hour)))
		reads := s.openStream("/rooms/lobby/occupancy/events")
		stuck, err := s.pipes.dial(t.Context(), "", "")
		must(t, err)
		defer stuck.Close()
		_, err = fmt.Fprint(stuck, "GET /rooms/lobby/occupancy/events HTTP/1.1\r\nHost: site\r\n\r\n")
		must(t, err)
		one := make([]byte, 1)
		_, err = stuck.Read(one) // the response starts, and the rest is not read
		must(t, err)
		other := s.openStream("/rooms/other/occupancy/events")
		other.readUntil(0)

		start := time.Now()
		for i := range 5 {
			must(t, e.Join("lobby"))
			must(t, e.Join("other"))
			reads.readUntil(i + 1)
			other.readUntil(i + 1)
			if took := time.Since(start); took > 5*100*time.Millisecond {
				t.Errorf("the other streams were delayed by %v", took)
			}
		}
		time.Sleep(9*time.Second - time.Since(start))
		synctest.Wait()
		if _, err := stuck.Read(nil); err != nil {
			t.Errorf("closed within 9s: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := stuck.Read(make([]byte, 4096)); err == nil {
			t.Error("not closed after 11s")
		}
		reads.close()
		synctest.Wait()
		if got := e.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions, want only that of the other room", got)
		}
		other.close()
	})
}

func TestStream_LastValueDelivered_SlowClient(t *testing.T) {
	for _, path := range []string{"/rooms/lobby/occupancy/events", "/occupancy/events?room=quiet&room=lobby"} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(0))
			s := newTestServer(t, occupancyhttp.NewHandler(e))
			stream := s.openStream(path)
			for range strings.Count(path, "lobby") + strings.Count(path, "quiet") {
				stream.nextEvent()
			}
			for range 10_000 {
				must(t, e.Join("lobby"))
				synctest.Wait() // so that each Join publishes an event
			}
			seen, last := 0, 0
			for last < 10_000 {
				n := stream.nextEvent().Occupancy.Connections
				if n <= last {
					t.Fatalf("%d after %d", n, last)
				}
				last = n
				seen++
			}
			if seen > 200 { // the buffers of net/http and of the client
				t.Errorf("%d of 10000 events were buffered for a client that did not read", seen)
			}
			stream.close()
		})
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
			stream := s.openStream("/rooms/lobby/occupancy/events")
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
			start = time.Now()
			if frame, err := stream.nextFrame(); frame != ":\n\n" || err != nil || time.Since(start) != 40*time.Second {
				t.Errorf("%q, %v %v after an event", frame, err, time.Since(start))
			}
			stream.close()
		})
	}
}

func TestHeartbeat_Disabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(0)))
		stream := s.openStream("/rooms/lobby/occupancy/events")
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
		s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(2)))
		a := s.openStream("/rooms/a/occupancy/events")
		b := s.openStream("/occupancy/events?room=b&room=c")
		resp, body := s.get(http.MethodGet, "/rooms/d/occupancy/events")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "too_many_streams") {
			t.Errorf("%s %v %s", resp.Status, resp.Header, body)
		}
		if got := e.Stats().Rooms; got != 3 {
			t.Errorf("%d rooms exist: the refused stream subscribed", got)
		}
		if resp, _ := s.get(http.MethodGet, "/rooms/d/occupancy"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: the limit is applied to a request that is not a stream", resp.Status)
		}
		a.close()
		synctest.Wait()
		c := s.openStream("/rooms/d/occupancy/events")
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

// While a refused stream is still logging, it does not count towards the limit.
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
		first := s.openStream("/rooms/lobby/occupancy/events")
		refused := make(chan int)
		go func() { refused <- serve(h, http.MethodGet, "/rooms/lobby/occupancy/events").StatusCode }()
		<-refusing
		first.close()
		synctest.Wait()
		resp, err := s.client.Do(s.request(http.MethodGet, "/rooms/lobby/occupancy/events"))
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

func TestStream_WriterWithoutFlush(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e)
	resp := serve(http.TimeoutHandler(h, time.Minute, ""), http.MethodGet, "/rooms/lobby/occupancy/events")
	if f := decodeError(t, resp); resp.StatusCode != http.StatusInternalServerError || f.Error.Code != "no_streaming" {
		t.Errorf("%s %+v", resp.Status, f)
	}
	if got := e.Stats().Subscriptions; got != 0 {
		t.Errorf("%d subscriptions", got)
	}
}
