package occupancyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestOccupancy_JSON(t *testing.T) {
	e := newEngine(t)
	for range 103 {
		must(t, e.Join("lobby"))
	}
	for i := range 95 {
		must(t, e.Enter("lobby", fmt.Sprintf("client-%d", i)))
	}
	s := newTestServer(t, http.StripPrefix("/any/prefix", occupancyhttp.NewHandler(e)))
	resp, body := s.get(http.MethodGet, "/any/prefix/rooms/lobby/occupancy")
	if want := `{"connections":103,"presenceMembers":95}`; resp.StatusCode != http.StatusOK || body != want {
		t.Errorf("%s %s, want %s", resp.Status, body, want)
	}
	for name, want := range map[string]string{
		"Content-Type":      "application/json; charset=utf-8",
		"Cache-Control":     "no-store",
		"Occupancy-Partial": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// peersFunc implements occupancy.Peers.
type peersFunc func(ctx context.Context, room string) (occupancy.Occupancy, error)

func (p peersFunc) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	return p(ctx, room)
}

func TestOccupancy_PartialIfNodesAreMissing(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("lobby"))
	s := newTestServer(t, occupancyhttp.NewHandler(e))
	missing := errors.New("node b: no answer")
	for _, test := range []struct {
		name    string
		peers   peersFunc
		partial string
	}{
		{"all", func(context.Context, string) (occupancy.Occupancy, error) {
			return occupancy.Occupancy{Connections: 2, PresenceMembers: 1}, nil
		}, ""},
		{"some", func(context.Context, string) (occupancy.Occupancy, error) {
			return occupancy.Occupancy{Connections: 2, PresenceMembers: 1}, missing
		}, "true"},
		{"late", func(context.Context, string) (occupancy.Occupancy, error) {
			return occupancy.Occupancy{Connections: 2, PresenceMembers: 1}, context.DeadlineExceeded
		}, "true"},
	} {
		link, err := e.Link(test.peers)
		must(t, err)
		resp, body := s.get(http.MethodGet, "/rooms/lobby/occupancy")
		if want := `{"connections":3,"presenceMembers":1}`; resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("%s: %s %s, want %s", test.name, resp.Status, body, want)
		}
		if got := resp.Header.Get("Occupancy-Partial"); got != test.partial {
			t.Errorf("%s: Occupancy-Partial: %q, want %q", test.name, got, test.partial)
		}
		must(t, link.Close())
	}
}

func TestOccupancy_WaitsFiveSecondsForOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		_, err := e.Link(peersFunc(func(ctx context.Context, _ string) (occupancy.Occupancy, error) {
			<-ctx.Done()
			return occupancy.Occupancy{Connections: 1}, ctx.Err()
		}))
		must(t, err)
		start := time.Now()
		resp := serve(occupancyhttp.NewHandler(e), http.MethodGet, "/rooms/lobby/occupancy")
		body, _ := io.ReadAll(resp.Body)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		if resp.StatusCode != http.StatusOK || string(body) != `{"connections":1,"presenceMembers":0}` || resp.Header.Get("Occupancy-Partial") != "true" {
			t.Errorf("%s %s %v", resp.Status, body, resp.Header)
		}
	})
}

func TestPaths_AnyRoomName(t *testing.T) {
	e := newEngine(t)
	s := newTestServer(t, http.StripPrefix("/occupancy", occupancyhttp.NewHandler(e)))
	for i, room := range []string{
		"a/b", "/", "//", "a//b/", "rooms/x/occupancy", "occupancy/events", ".", "..", "../..", "%", "%2F", "a b+c", "?room=x", "#",
		"é", "日本語", "👋", "\x00", "a\nb\r\n", `"quoted"`, "<b>", "a&room=b;c", "\u2028", strings.Repeat("長", 341),
	} {
		for range i + 1 {
			must(t, e.Join(room))
		}
		if _, body := s.get(http.MethodGet, "/occupancy/rooms/"+url.PathEscape(room)+"/occupancy"); body != fmt.Sprintf(`{"connections":%d,"presenceMembers":0}`, i+1) {
			t.Errorf("occupancy of %q: %s", room, body)
		}
		streamOfRoom := s.openStream("/occupancy/rooms/" + url.PathEscape(room) + "/occupancy/events")
		if n := streamOfRoom.nextEvent(); n.Occupancy.Connections != i+1 {
			t.Errorf("stream of %q: %+v", room, n)
		}
		streamOfRoom.close()
		streamOfRooms := s.openStream("/occupancy/occupancy/events?room=" + url.QueryEscape(room))
		if n := streamOfRooms.nextEvent(); n.Occupancy.Connections != i+1 || n.Room != room {
			t.Errorf("stream of several rooms with %q: %+v", room, n)
		}
		streamOfRooms.close()
	}
}

func TestErrors_StatusAndJSON(t *testing.T) {
	e := newEngine(t, occupancy.WithMaxRooms(1))
	must(t, e.Join("lobby"))
	sub, err := e.Subscribe("subscribed") // reaches the limit of rooms that are only subscribed to
	must(t, err)
	defer sub.Unsubscribe()
	closed := occupancy.New()
	must(t, closed.Close())
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		if room != "lobby" && room != "other" {
			t.Errorf("authorize called for %q", room)
		}
		return nil
	}))
	onClosedEngine := occupancyhttp.NewHandler(closed)
	long := strings.Repeat("x", 1025)
	for _, test := range []struct {
		h            http.Handler
		method, path string
		status       int
		code         string
	}{
		{h, "GET", "/", 404, "not_found"},
		{h, "GET", "/rooms", 404, "not_found"},
		{h, "GET", "/rooms/lobby", 404, "not_found"},
		{h, "GET", "/rooms/lobby/occupancy/", 404, "not_found"},
		{h, "GET", "/rooms/a/b/occupancy", 404, "not_found"},
		{h, "GET", "//rooms/lobby/occupancy", 404, "not_found"},
		{h, "GET", "/rooms/lobby/../lobby/occupancy", 404, "not_found"},
		{h, "GET", "/occupancy.jsx", 404, "not_found"},
		{h, "POST", "/nowhere", 404, "not_found"},

		{h, "POST", "/rooms/lobby/occupancy", 405, "method_not_allowed"},
		{h, "OPTIONS", "/rooms/lobby/occupancy/events", 405, "method_not_allowed"},
		{h, "PUT", "/occupancy/events?room=lobby", 405, "method_not_allowed"},
		{h, "DELETE", "/occupancy.js", 405, "method_not_allowed"},

		{h, "GET", "/rooms//occupancy", 400, "bad_room_name"},
		{h, "GET", "/rooms/%ff/occupancy", 400, "bad_room_name"},
		{h, "GET", "/rooms/" + long + "/occupancy", 400, "bad_room_name"},
		{h, "GET", "/rooms//occupancy/events", 400, "bad_room_name"},
		{h, "GET", "/rooms/%ff/occupancy/events", 400, "bad_room_name"},
		{h, "GET", "/rooms/" + long + "/occupancy/events", 400, "bad_room_name"},
		{h, "GET", "/occupancy/events?room=lobby&room=", 400, "bad_room_name"},
		{h, "GET", "/occupancy/events?room=%ff", 400, "bad_room_name"},
		{h, "GET", "/occupancy/events?room=" + long, 400, "bad_room_name"},
		{h, "GET", "/occupancy/events", 400, "no_room"},
		{h, "GET", "/occupancy/events?rooms=lobby", 400, "no_room"},
		{h, "GET", "/occupancy/events?room=lobby&room=%zz", 400, "bad_query"},

		{h, "GET", "/rooms/other/occupancy/events", 503, "room_limit"},
		{h, "GET", "/occupancy/events?room=lobby&room=other", 503, "room_limit"},
		{onClosedEngine, "GET", "/rooms/lobby/occupancy", 503, "closed"},
		{onClosedEngine, "GET", "/rooms/lobby/occupancy/events", 503, "closed"},
		{onClosedEngine, "GET", "/occupancy/events?room=lobby", 503, "closed"},
	} {
		resp := serve(test.h, test.method, test.path)
		name := test.method + " " + test.path[:min(len(test.path), 50)]
		if resp.StatusCode != test.status {
			t.Errorf("%s: %s, want %d", name, resp.Status, test.status)
		}
		if got := decodeError(t, resp); got.Error.Code != test.code {
			t.Errorf("%s: code %q, want %q", name, got.Error.Code, test.code)
		}
		if got := resp.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", name, got)
		}
		if got := resp.Header.Get("Allow"); (got == "GET, HEAD") != (test.status == 405) {
			t.Errorf("%s: Allow %q", name, got)
		}
		if got := resp.Header.Get("Retry-After"); (got != "") != (test.status == 503) {
			t.Errorf("%s: Retry-After %q", name, got)
		}
	}
	if got := e.Stats().Subscriptions; got != 1 {
		t.Errorf("%d subscriptions, want only the test's own", got)
	}
}

func TestHead_NoBodyAndNoStream(t *testing.T) {
	e := newEngine(t)
	s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(1)))
	for path, want := range map[string]string{
		"/rooms/lobby/occupancy":        "application/json; charset=utf-8",
		"/rooms/lobby/occupancy/events": "text/event-stream",
		"/occupancy/events?room=lobby":  "text/event-stream",
		"/occupancy.js":                 "text/javascript; charset=utf-8",
		"/occupancy.d.ts":               "application/typescript; charset=utf-8",
	} {
		resp, body := s.get(http.MethodHead, path)
		if resp.StatusCode != http.StatusOK || body != "" || resp.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s %q %v", path, resp.Status, body, resp.Header)
		}
	}
	if got := e.Stats(); got.Rooms != 0 || got.Subscriptions != 0 {
		t.Errorf("%+v", got)
	}
}

func TestOccupancy_CanceledRequest(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("lobby"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		occupancyhttp.NewHandler(e).ServeHTTP(w, r.WithContext(ctx))
	})
	resp := serve(h, http.MethodGet, "/rooms/lobby/occupancy")
	if f := decodeError(t, resp); resp.StatusCode != http.StatusServiceUnavailable || f.Error.Code != "timeout" {
		t.Errorf("%s %+v", resp.Status, f)
	}
}

// The handler receives the exact room name, wherever it is mounted.
func TestMount_AnyPrefix(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e)
	inner := http.NewServeMux()
	inner.Handle("GET /occupancy/", http.StripPrefix("/occupancy", h))
	outer := http.NewServeMux()
	outer.Handle("GET /", h)
	outer.Handle("GET /live/", http.StripPrefix("/live", h))
	outer.Handle("GET /api/v1/", http.StripPrefix("/api/v1", inner))
	s := newTestServer(t, outer)
	s.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error { return fmt.Errorf("redirected to %s", r.URL) }
	for i, room := range []string{"lobby", "a/b", "a//b", "/", "100%", "%2F", "日本語"} {
		for range i + 1 {
			must(t, e.Join(room))
		}
		for _, prefix := range []string{"", "/live", "/api/v1/occupancy"} {
			if _, body := s.get(http.MethodGet, prefix+"/rooms/"+url.PathEscape(room)+"/occupancy"); body != fmt.Sprintf(`{"connections":%d,"presenceMembers":0}`, i+1) {
				t.Errorf("%s %q: %s", prefix, room, body)
			}
			streamOfRooms := s.openStream(prefix + "/occupancy/events?room=" + url.QueryEscape(room))
			if n := streamOfRooms.nextEvent(); n.Occupancy.Connections != i+1 {
				t.Errorf("%s stream of %q: %+v", prefix, room, n)
			}
			streamOfRooms.close()
		}
	}
}

// The host program serves other paths, with patterns such as "GET /". These patterns do
// not conflict with the documented pattern, and each request reaches the right handler.
func TestMount_NextToHostPatterns(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t))
	for _, hostPatterns := range [][]string{{"GET /"}, {"/"}, {"GET /", "/"}, {"GET /{file}", "GET /{$}"}} {
		mux := http.NewServeMux()
		for _, pattern := range hostPatterns {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "host") })
		}
		mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", h))
		s := newTestServer(t, mux)
		for _, test := range []struct{ method, path, body string }{
			{http.MethodGet, "/page", "host"},
			{http.MethodGet, "/occupancy/rooms/lobby/occupancy", `{"connections":0,"presenceMembers":0}`},
			{http.MethodHead, "/occupancy/rooms/lobby/occupancy", ""},
		} {
			resp, body := s.get(test.method, test.path)
			if resp.StatusCode != http.StatusOK || body != test.body {
				t.Errorf("next to %q: %s %s: %s %s, want %s", hostPatterns, test.method, test.path, resp.Status, body, test.body)
			}
		}
		stream := s.openStream("/occupancy/occupancy/events?room=lobby")
		stream.readUntil(0)
		stream.close()
	}
}
