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

func TestAStreamBeginsWithTheRoomsOccupancyAndTellsWhatItBecomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("lobby"))
		s := newSite(t, occupancyhttp.NewHandler(e))
		l := s.listen("/rooms/lobby/occupancy/events")
		for name, want := range map[string]string{
			"Content-Type":        "text/event-stream",
			"Cache-Control":       "no-store",
			"X-Accel-Buffering":   "no",
			"Occupancy-Heartbeat": "15",
		} {
			if got := l.resp.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		var versions []string
		for i, want := range []string{
			`{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}`,
			`{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":1}}`,
		} {
			frame, err := l.frame()
			must(t, err)
			lines := strings.Split(frame, "\n")
			if len(lines) != 5 || lines[0] != "event: occupancy.updated" || !strings.HasPrefix(lines[1], "id: ") || lines[2] != "data: "+want || lines[3] != "" {
				t.Errorf("frame %d is %q", i, frame)
			}
			versions = append(versions, lines[1])
			time.Sleep(time.Second) // the bubble's, not the clock's
			if i == 0 {
				must(t, e.Enter("lobby", "alice"))
			}
		}
		sub, err := e.Subscribe("lobby")
		must(t, err)
		if v := (<-sub.Events()).Version; versions[1] != fmt.Sprintf("id: %d", v) || versions[0] != fmt.Sprintf("id: %d", v-1) {
			t.Errorf("ids %q, want the versions up to %d", versions, v)
		}
		l.leave()
	})
}

func TestAStreamOfManyRoomsSaysWhichRoomItMeans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("b"))
		s := newSite(t, occupancyhttp.NewHandler(e))
		l := s.listen("/occupancy/events?room=a&room=b&room=a&room=" + "%22%0A%3C")
		got := map[string]string{}
		for range 3 { // the room named twice is told once
			frame, err := l.frame()
			must(t, err)
			lines := strings.Split(frame, "\n")
			if len(lines) != 5 || lines[0] != "event: occupancy.updated" || !strings.HasPrefix(lines[1], "id: ") || lines[3] != "" {
				t.Errorf("frame is %q", frame)
			}
			data := strings.TrimPrefix(lines[2], "data: ")
			var n news
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
		if n := l.next(); n.Room != "a" || n.Occupancy.Connections != 1 {
			t.Errorf("%+v", n)
		}
		l.leave()
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

func TestAStreamCarries256RoomsAndNot257(t *testing.T) {
	for _, proto := range []struct {
		name string
		tune func(*http.Server)
	}{{"HTTP/1.1", func(*http.Server) {}}, {"HTTP/2.0", http2}} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			s := newSite(t, occupancyhttp.NewHandler(e), proto.tune)
			l := s.listen(roomsQuery(256))
			if l.resp.Proto != proto.name {
				t.Errorf("this is %s", l.resp.Proto)
			}
			told := map[string]bool{}
			for range 256 {
				told[l.next().Room] = true
			}
			if len(told) != 256 || e.Stats().Subscriptions != 256 {
				t.Errorf("told of %d rooms, by %d subscriptions", len(told), e.Stats().Subscriptions)
			}
			for i := range 256 {
				must(t, e.Join(fmt.Sprintf("room-%d", i)))
			}
			clear(told)
			for range 256 {
				n := l.next()
				told[n.Room] = n.Occupancy.Connections == 1
			}
			for i := range 256 {
				if room := fmt.Sprintf("room-%d", i); !told[room] {
					t.Errorf("%s was not told", room)
				}
			}
			l.leave()
			synctest.Wait()
			if got := e.Stats().Subscriptions; got != 0 {
				t.Errorf("%d subscriptions are left", got)
			}

			resp, _ := s.get(http.MethodGet, roomsQuery(257))
			if resp.StatusCode != http.StatusBadRequest || e.Stats().Subscriptions != 0 {
				t.Errorf("257 rooms: %s, %d subscriptions", resp.Status, e.Stats().Subscriptions)
			}
		})
	}
}

func TestARefusedRoomAmongManyLeaksNothing(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("secret"))
	var mu sync.Mutex
	var asked []string
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, room)
		if got := e.Stats().Subscriptions; got != 0 {
			t.Errorf("%d subscriptions before %s was asked for", got, room)
		}
		switch room {
		case "secret", "nothing":
			return errors.New("the secret that must not get out")
		}
		return nil
	}))
	answer := func(path string) string {
		resp := ask(h, http.MethodGet, path)
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, resp.Status)
		}
		f := failureOf(t, resp)
		return fmt.Sprint(resp.Header, f.Error.Code, f.Error.Message)
	}
	for _, form := range []string{
		"/rooms/%s/occupancy", "/rooms/%s/occupancy/events", "/occupancy/events?room=%s", "/occupancy/events?room=a&room=b&room=%s&room=c",
	} {
		existing, unknown := answer(fmt.Sprintf(form, "secret")), answer(fmt.Sprintf(form, "nothing"))
		if existing != unknown {
			t.Errorf("%s: a room that exists: %s\none that does not: %s", form, existing, unknown)
		}
		if strings.Contains(existing, "secret") {
			t.Errorf("%s: %s", form, existing)
		}
	}
	if f := failureOf(t, ask(h, http.MethodGet, "/occupancy/events?room=a&room=secret")); f.Error.Room != "secret" {
		t.Errorf("the refusal of one of many rooms names %q", f.Error.Room)
	}
	if e.Stats().Rooms != 1 || e.Stats().Subscriptions != 0 {
		t.Errorf("%+v after refusals only", e.Stats())
	}

	asked = nil
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var asked []string
		s := newSite(t, occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
			asked = append(asked, r.URL.Query().Get("who")+" "+room)
			return nil
		})))
		l := s.listen("/occupancy/events?who=alice&room=a&room=b&room=a")
		l.next()
		if got := fmt.Sprint(asked); got != "[alice a alice b]" {
			t.Errorf("asked for %s", got)
		}
		l.leave()
	})
}

func TestWhoIsUnknownGets401(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(*http.Request, string) error {
		return fmt.Errorf("no cookie: %w", occupancyhttp.ErrUnauthorized)
	}))
	for _, path := range []string{"/rooms/lobby/occupancy", "/rooms/lobby/occupancy/events", "/occupancy/events?room=lobby"} {
		resp := ask(h, http.MethodGet, path)
		if f := failureOf(t, resp); resp.StatusCode != http.StatusUnauthorized || f.Error.Code != "unauthorized" || strings.Contains(f.Error.Message, "cookie") {
			t.Errorf("%s: %s %+v", path, resp.Status, f)
		}
	}
}

// Who must sign in for one room is told which, so that the client can do without it. Where
// no room is open to the request, who asks is the matter and not the room.
func TestA401NamesItsRoomIfOthersMayBeSeen(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		switch room {
		case "public":
			return nil
		case "private":
			return occupancyhttp.ErrUnauthorized
		}
		return errors.New("not this one")
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
		resp := ask(h, http.MethodGet, "/occupancy/events?"+query)
		if f := failureOf(t, resp); resp.StatusCode != want.status || f.Error.Room != want.room {
			t.Errorf("%s: %s, room %q, want %d, %q", query, resp.Status, f.Error.Room, want.status, want.room)
		}
	}
}

func TestALastEventIDIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newSite(t, occupancyhttp.NewHandler(e))
		l := s.listen("/rooms/lobby/occupancy/events")
		first := l.next()
		again := s.listen("/rooms/lobby/occupancy/events", "Last-Event-ID", first.id)
		if n := again.next(); n != first {
			t.Errorf("%+v, want the snapshot %+v", n, first)
		}
		l.leave()
		again.leave()
	})
}

func TestAClientThatStopsReadingIsCutAndDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newSite(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(time.Hour)))
		reads := s.listen("/rooms/lobby/occupancy/events")
		stuck, err := s.pipes.dial(t.Context(), "", "")
		must(t, err)
		defer stuck.Close()
		_, err = fmt.Fprint(stuck, "GET /rooms/lobby/occupancy/events HTTP/1.1\r\nHost: site\r\n\r\n")
		must(t, err)
		one := make([]byte, 1)
		_, err = stuck.Read(one) // the answer begins, and then nobody reads it
		must(t, err)
		other := s.listen("/rooms/other/occupancy/events")
		other.until(0)

		start := time.Now()
		for i := range 5 {
			must(t, e.Join("lobby"))
			must(t, e.Join("other"))
			reads.until(i + 1)
			other.until(i + 1)
			if took := time.Since(start); took > 5*100*time.Millisecond {
				t.Errorf("the others waited %v", took)
			}
		}
		time.Sleep(9*time.Second - time.Since(start))
		synctest.Wait()
		if _, err := stuck.Read(nil); err != nil {
			t.Errorf("cut after 9s already: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := stuck.Read(make([]byte, 4096)); err == nil {
			t.Error("not cut after 11s")
		}
		reads.leave()
		synctest.Wait()
		if got := e.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions, want that of the other room alone", got)
		}
		other.leave()
	})
}

func TestASlowClientMissesValuesButNotTheLast(t *testing.T) {
	for _, path := range []string{"/rooms/lobby/occupancy/events", "/occupancy/events?room=quiet&room=lobby"} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(0))
			s := newSite(t, occupancyhttp.NewHandler(e))
			l := s.listen(path)
			for range strings.Count(path, "lobby") + strings.Count(path, "quiet") {
				l.next()
			}
			for range 10_000 {
				must(t, e.Join("lobby"))
				synctest.Wait() // so that each is an event
			}
			seen, last := 0, 0
			for last < 10_000 {
				n := l.next().Occupancy.Connections
				if n <= last {
					t.Fatalf("%d after %d", n, last)
				}
				last = n
				seen++
			}
			if seen > 200 { // net/http and the client buffer some
				t.Errorf("%d of 10000 events waited for a client that did not read", seen)
			}
			l.leave()
		})
	}
}

func TestAQuietStreamSendsCommentsAndLives(t *testing.T) {
	for _, tune := range []func(*http.Server){
		func(s *http.Server) { s.ReadTimeout, s.WriteTimeout = time.Second, time.Second },
		func(s *http.Server) { http2(s); s.ReadTimeout, s.WriteTimeout = time.Second, time.Second },
	} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			s := newSite(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(40*time.Second)), tune)
			l := s.listen("/rooms/lobby/occupancy/events")
			if l.resp.Header.Get("Occupancy-Heartbeat") != "40" {
				t.Errorf("%v", l.resp.Header)
			}
			l.next()
			start := time.Now()
			for i := range 3 {
				frame, err := l.frame()
				must(t, err)
				if took := time.Since(start); frame != ":\n\n" || took != time.Duration(i+1)*40*time.Second {
					t.Errorf("%q after %v", frame, took)
				}
			}
			time.Sleep(30 * time.Second)
			must(t, e.Join("lobby"))
			l.until(1)
			start = time.Now()
			if frame, err := l.frame(); frame != ":\n\n" || err != nil || time.Since(start) != 40*time.Second {
				t.Errorf("%q, %v %v after an event", frame, err, time.Since(start))
			}
			l.leave()
		})
	}
}

func TestWithoutAHeartbeatAQuietStreamIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newSite(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(0)))
		l := s.listen("/rooms/lobby/occupancy/events")
		l.next()
		time.AfterFunc(24*time.Hour, func() { _ = e.Join("lobby") })
		frame, err := l.frame()
		must(t, err)
		if !strings.Contains(frame, `"connections":1`) || l.resp.Header.Get("Occupancy-Heartbeat") != "" {
			t.Errorf("%q", frame)
		}
		l.leave()
	})
}

func TestOneStreamTooManyIsToldToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newSite(t, occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(2)))
		a := s.listen("/rooms/a/occupancy/events")
		b := s.listen("/occupancy/events?room=b&room=c")
		resp, body := s.get(http.MethodGet, "/rooms/d/occupancy/events")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "too_many_streams") {
			t.Errorf("%s %v %s", resp.Status, resp.Header, body)
		}
		if got := e.Stats().Rooms; got != 3 {
			t.Errorf("%d rooms exist: a refused stream subscribed", got)
		}
		if resp, _ := s.get(http.MethodGet, "/rooms/d/occupancy"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: not a stream", resp.Status)
		}
		a.leave()
		synctest.Wait()
		c := s.listen("/rooms/d/occupancy/events")
		c.next()
		b.leave()
		c.leave()
	})
}

// logged is an slog.Handler that calls a function for each record.
type logged func(slog.Record)

func (f logged) Enabled(context.Context, slog.Level) bool      { return true }
func (f logged) Handle(_ context.Context, r slog.Record) error { f(r); return nil }
func (f logged) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f logged) WithGroup(string) slog.Handler                 { return f }

// A stream that is being refused takes no place from one that there is room for by then.
func TestARefusedStreamTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusing := make(chan struct{}, 2)
		h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithMaxStreams(1),
			occupancyhttp.WithLogger(slog.New(logged(func(r slog.Record) {
				if r.Level == slog.LevelWarn {
					refusing <- struct{}{}
					time.Sleep(time.Minute) // a log that is slow
				}
			}))))
		s := newSite(t, h)
		first := s.listen("/rooms/lobby/occupancy/events")
		refused := make(chan int)
		go func() { refused <- ask(h, http.MethodGet, "/rooms/lobby/occupancy/events").StatusCode }()
		<-refusing
		first.leave()
		synctest.Wait()
		resp, err := s.client.Do(s.request(http.MethodGet, "/rooms/lobby/occupancy/events"))
		must(t, err)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s while another is refused", resp.Status)
		}
		resp.Body.Close()
		if got := <-refused; got != http.StatusServiceUnavailable {
			t.Errorf("status %d", got)
		}
	})
}

func TestAWriterThatCannotStreamIsAnError(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e)
	resp := ask(http.TimeoutHandler(h, time.Minute, ""), http.MethodGet, "/rooms/lobby/occupancy/events")
	if f := failureOf(t, resp); resp.StatusCode != http.StatusInternalServerError || f.Error.Code != "no_streaming" {
		t.Errorf("%s %+v", resp.Status, f)
	}
	if got := e.Stats().Subscriptions; got != 0 {
		t.Errorf("%d subscriptions", got)
	}
}
