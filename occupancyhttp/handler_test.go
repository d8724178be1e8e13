package occupancyhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestRoom_JSON(t *testing.T) {
	e := newEngine(t)
	for range 103 {
		must(t, e.Join("lobby"))
	}
	for i := range 95 {
		must(t, e.Enter("lobby", fmt.Sprintf("client-%d", i)))
	}
	s := newTestServer(t, http.StripPrefix("/any/prefix", occupancyhttp.NewHandler(e)))
	resp, body := s.get(http.MethodGet, "/any/prefix/rooms/lobby")
	if want := `{"connections":103,"presenceMembers":95}`; resp.StatusCode != http.StatusOK || body != want {
		t.Errorf("%s %s, want %s", resp.Status, body, want)
	}
	for name, want := range map[string]string{
		"Content-Type":                  "application/json; charset=utf-8",
		"Cache-Control":                 "no-store",
		"Occupancy-Partial":             "",
		"Access-Control-Expose-Headers": "Occupancy-Heartbeat, Occupancy-Partial, Retry-After",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestRooms_JSON(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("a"))
	must(t, e.Enter("a/b", "alice"))
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		switch room {
		case "secret":
			return errors.New("no")
		case "private":
			return occupancyhttp.ErrUnauthorized
		}
		return nil
	}))
	s := newTestServer(t, h)
	for query, want := range map[string]string{
		"room=a":                                        `{"rooms":{"a":{"connections":1,"presenceMembers":0}}}`,
		"room=a&room=none&room=a":                       `{"rooms":{"a":{"connections":1,"presenceMembers":0},"none":{"connections":0,"presenceMembers":0}}}`,
		"room=a%2Fb&room=.&room=..":                     `{"rooms":{".":{"connections":0,"presenceMembers":0},"..":{"connections":0,"presenceMembers":0},"a/b":{"connections":0,"presenceMembers":1}}}`,
		"room=secret&room=a&room=private&room=":         `{"rooms":{"a":{"connections":1,"presenceMembers":0}},"refused":{"":"bad_room_name","private":"unauthorized","secret":"forbidden"}}`,
		"room=secret":                                   `{"error":{"code":"forbidden","message":"access to this room is denied"}}`,
		"room=secret&room=private":                      `{"error":{"code":"unauthorized","message":"authentication required"}}`,
		strings.TrimPrefix(roomsQuery(257), "/events?"): `{"error":{"code":"too_many_rooms","message":"too many rooms: a request can have at most 256"}}`,
	} {
		resp, body := s.get(http.MethodGet, "/?"+query)
		if body != want || (resp.StatusCode == http.StatusOK) != strings.HasPrefix(want, `{"rooms"`) {
			t.Errorf("%.50s: %s %s, want %s", query, resp.Status, body, want)
		}
	}
	_, body := s.get(http.MethodGet, "/?"+strings.TrimPrefix(roomsQuery(256), "/events?"))
	if n := strings.Count(body, "connections"); n != 256 {
		t.Errorf("%d of 256 rooms", n)
	}
}

// peersFunc implements occupancy.Peers.
type peersFunc func(ctx context.Context, room string) (occupancy.Occupancy, error)

func (p peersFunc) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	return p(ctx, room)
}

func link(t *testing.T, e *occupancy.Engine, peers peersFunc) {
	t.Helper()
	l, err := e.Link(peers)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
}

// Without fresh=1, a request for an invented room does not query the other nodes.
func TestRead_QueriesNoNode(t *testing.T) {
	e := newEngine(t)
	link(t, e, func(context.Context, string) (occupancy.Occupancy, error) {
		t.Error("the other nodes were queried")
		return occupancy.Occupancy{}, nil
	})
	h := occupancyhttp.NewHandler(e)
	for _, path := range []string{"/rooms/lobby", "/?room=lobby&room=other", "/rooms/lobby?fresh=0"} {
		if resp := serve(h, http.MethodGet, path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func TestFresh_PartialIfNodesAreMissing(t *testing.T) {
	missing := errors.New("node b: no answer")
	for _, test := range []struct {
		name    string
		peers   peersFunc
		partial string
	}{
		{"all", func(context.Context, string) (occupancy.Occupancy, error) {
			return occupancy.Occupancy{Connections: 2, PresenceMembers: 1}, nil
		}, ""},
		{"some", func(_ context.Context, room string) (occupancy.Occupancy, error) {
			if room == "other" {
				return occupancy.Occupancy{}, nil
			}
			return occupancy.Occupancy{Connections: 2, PresenceMembers: 1}, missing
		}, "true"},
		{"late", func(context.Context, string) (occupancy.Occupancy, error) {
			return occupancy.Occupancy{Connections: 2, PresenceMembers: 1}, context.DeadlineExceeded
		}, "true"},
	} {
		e := newEngine(t)
		must(t, e.Join("lobby"))
		link(t, e, test.peers)
		s := newTestServer(t, occupancyhttp.NewHandler(e))
		for _, path := range []string{"/rooms/lobby?fresh=1", "/?fresh=1&room=lobby&room=other"} {
			resp, body := s.get(http.MethodGet, path)
			if want := `{"connections":3,"presenceMembers":1}`; resp.StatusCode != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %s: %s %s, want %s", test.name, path, resp.Status, body, want)
			}
			if got := resp.Header.Get("Occupancy-Partial"); got != test.partial {
				t.Errorf("%s: %s: Occupancy-Partial: %q, want %q", test.name, path, got, test.partial)
			}
		}
	}
}

func TestFresh_WaitsFourSecondsForOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		link(t, e, func(ctx context.Context, _ string) (occupancy.Occupancy, error) {
			<-ctx.Done()
			return occupancy.Occupancy{Connections: 1}, ctx.Err()
		})
		start := time.Now()
		resp := serve(occupancyhttp.NewHandler(e), http.MethodGet, "/?fresh=1&room=a&room=b")
		body, _ := io.ReadAll(resp.Body)
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("took %v", took)
		}
		want := `{"rooms":{"a":{"connections":1,"presenceMembers":0},"b":{"connections":1,"presenceMembers":0}}}`
		if resp.StatusCode != http.StatusOK || string(body) != want || resp.Header.Get("Occupancy-Partial") != "true" {
			t.Errorf("%s %s %v", resp.Status, body, resp.Header)
		}
	})
}

// Concurrent requests of a room share one query, and its result is reused for an interval.
// A request that is canceled meanwhile does not cancel the query.
func TestFresh_OneQueryForConcurrentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var queries atomic.Int32
		proceed := make(chan struct{})
		link(t, e, func(ctx context.Context, _ string) (occupancy.Occupancy, error) {
			n := queries.Add(1)
			select {
			case <-proceed:
			case <-ctx.Done():
				t.Error("the query was canceled")
			}
			return occupancy.Occupancy{Connections: int(n)}, nil
		})
		h := occupancyhttp.NewHandler(e)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		request := func(ctx context.Context, status int, want string) {
			resp := serveRequest(h, httptest.NewRequestWithContext(ctx, http.MethodGet, "/rooms/lobby?fresh=1", nil))
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != status || !strings.Contains(string(body), want) {
				t.Errorf("%s %s, want %d %s", resp.Status, body, status, want)
			}
		}
		all.Go(func() { request(ctx, http.StatusServiceUnavailable, "timeout") })
		synctest.Wait()
		for range 99 {
			all.Go(func() { request(t.Context(), http.StatusOK, `"connections":1,`) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(proceed)
		all.Wait()
		time.Sleep(99 * time.Millisecond)
		request(t.Context(), http.StatusOK, `"connections":1,`)
		time.Sleep(2 * time.Millisecond)
		request(t.Context(), http.StatusOK, `"connections":2,`)
		if got := queries.Load(); got != 2 {
			t.Errorf("%d queries", got)
		}
		time.Sleep(time.Second)
	})
}

// At most 1024 queries run at the same time. Requests for other rooms do not wait: they
// receive the counts that the engine has.
func TestFresh_LimitsRunningQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("other"))
		var running, most atomic.Int32
		link(t, e, func(ctx context.Context, _ string) (occupancy.Occupancy, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-ctx.Done()
			return occupancy.Occupancy{}, nil
		})
		h := occupancyhttp.NewHandler(e)
		start := time.Now()
		request := func(query string, want time.Duration, partial string) {
			t.Helper()
			resp := serve(h, http.MethodGet, "/?fresh=1"+query)
			if took := time.Since(start); resp.StatusCode != http.StatusOK || took != want || resp.Header.Get("Occupancy-Partial") != partial {
				t.Errorf("%.20s: %s after %v, partial %q", query, resp.Status, took, resp.Header.Get("Occupancy-Partial"))
			}
		}
		var all sync.WaitGroup
		for i := range 4 {
			query := ""
			for j := range 256 {
				query += fmt.Sprintf("&room=%d-%d", i, j)
			}
			all.Go(func() { request(query, 4*time.Second, "") })
		}
		synctest.Wait()
		request("&room=other", 0, "true")
		all.Go(func() { request("&room=0-0", 4*time.Second, "") }) // shares a query
		all.Wait()
		if got := most.Load(); got != 1024 {
			t.Errorf("%d queries at the same time", got)
		}
		time.Sleep(time.Second)
		start = time.Now()
		request("&room=other", 4*time.Second, "")
		time.Sleep(time.Second) // until the last result is not reused any more
	})
}

func TestPaths_AnyRoomName(t *testing.T) {
	e := newEngine(t)
	s := newTestServer(t, http.StripPrefix("/occupancy", occupancyhttp.NewHandler(e)))
	for i, room := range []string{
		"a/b", "/", "//", "a//b/", "rooms/x", "events", ".", "..", "../..", "%", "%2F", "a b+c", "?room=x", "#",
		"é", "日本語", "👋", "\x00", "a\nb\r\n", `"quoted"`, "<b>", "a&room=b;c", "\u2028", strings.Repeat("長", 341),
	} {
		for range i + 1 {
			must(t, e.Join(room))
		}
		want := fmt.Sprintf(`{"connections":%d,"presenceMembers":0}`, i+1)
		if _, body := s.get(http.MethodGet, "/occupancy/rooms/"+url.PathEscape(room)); body != want {
			t.Errorf("occupancy of %q: %s", room, body)
		}
		var batch struct {
			Rooms map[string]occupancy.Occupancy
		}
		_, body := s.get(http.MethodGet, "/occupancy?room="+url.QueryEscape(room))
		must(t, json.Unmarshal([]byte(body), &batch))
		if batch.Rooms[room].Connections != i+1 {
			t.Errorf("occupancy of %q in a batch: %s", room, body)
		}
		stream := s.openStream("/occupancy/events?room=" + url.QueryEscape(room))
		if n := stream.nextEvent(); n.Occupancy.Connections != i+1 || n.Room != room {
			t.Errorf("stream of %q: %+v", room, n)
		}
		stream.close()
	}
}

func TestErrors_StatusAndJSON(t *testing.T) {
	e := newEngine(t)
	closed := occupancy.New()
	must(t, closed.Close())
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		t.Errorf("authorize called for %q", room)
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
		{h, "GET", "/nowhere", 404, "not_found"},
		{h, "GET", "/rooms", 404, "not_found"},
		{h, "GET", "/rooms/lobby/occupancy", 404, "not_found"},
		{h, "GET", "/rooms/lobby/occupancy/events", 404, "not_found"},
		{h, "GET", "/occupancy/events?room=lobby", 404, "not_found"},
		{h, "GET", "/events/", 404, "not_found"},
		{h, "GET", "/rooms/lobby/", 404, "not_found"},
		{h, "GET", "/rooms/a/b", 404, "not_found"},
		{h, "GET", "//rooms/lobby", 404, "not_found"},
		{h, "GET", "/rooms/lobby/../lobby", 404, "not_found"},
		{h, "GET", "/occupancy.jsx", 404, "not_found"},
		{h, "POST", "/nowhere", 404, "not_found"},

		{h, "POST", "/rooms/lobby", 405, "method_not_allowed"},
		{h, "POST", "/?room=lobby", 405, "method_not_allowed"},
		{h, "OPTIONS", "/events?room=lobby", 405, "method_not_allowed"},
		{h, "DELETE", "/occupancy.js", 405, "method_not_allowed"},

		{h, "GET", "/rooms/", 400, "bad_room_name"},
		{h, "GET", "/rooms/%ff", 400, "bad_room_name"},
		{h, "GET", "/rooms/" + long, 400, "bad_room_name"},
		{h, "GET", "/?room=", 400, "bad_room_name"},
		{h, "GET", "/?room=%ff&room=", 400, "bad_room_name"},
		{h, "GET", "/events?room=", 400, "bad_room_name"},
		{h, "GET", "/events?room=%ff", 400, "bad_room_name"},
		{h, "GET", "/events?room=" + long, 400, "bad_room_name"},
		{h, "GET", "/", 400, "no_room"},
		{h, "GET", "/?" + strings.Repeat("room=lobby&", 257), 400, "too_many_rooms"},
		{h, "GET", "/events", 400, "no_room"},
		{h, "GET", "/events?rooms=lobby", 400, "no_room"},
		{h, "GET", "/?room=lobby&room=%zz", 400, "bad_query"},
		{h, "GET", "/events?room=lobby&room=%zz", 400, "bad_query"},
		{h, "GET", roomsQuery(257), 400, "too_many_rooms"},

		{onClosedEngine, "GET", "/rooms/lobby", 503, "closed"},
		{onClosedEngine, "GET", "/rooms/lobby?fresh=1", 503, "closed"},
		{onClosedEngine, "GET", "/?room=lobby", 503, "closed"},
		{onClosedEngine, "GET", "/events?room=lobby", 503, "closed"},
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
	wantNoStreams(t, e, h)
}

func TestHead_NoBodyAndNoStream(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e)
	s := newTestServer(t, h)
	for path, want := range map[string]string{
		"/?room=lobby":       "application/json; charset=utf-8",
		"/rooms/lobby":       "application/json; charset=utf-8",
		"/events?room=lobby": "text/event-stream",
		"/occupancy.js":      "text/javascript; charset=utf-8",
		"/occupancy.d.ts":    "application/typescript; charset=utf-8",
	} {
		resp, body := s.get(http.MethodHead, path)
		if resp.StatusCode != http.StatusOK || body != "" || resp.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s %q %v", path, resp.Status, body, resp.Header)
		}
	}
	if got := h.Stats().Opened; got != 0 {
		t.Errorf("%d streams", got)
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
			if _, body := s.get(http.MethodGet, prefix+"/rooms/"+url.PathEscape(room)); body != fmt.Sprintf(`{"connections":%d,"presenceMembers":0}`, i+1) {
				t.Errorf("%s %q: %s", prefix, room, body)
			}
			streamOfRooms := s.openStream(prefix + "/events?room=" + url.QueryEscape(room))
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
			{http.MethodGet, "/occupancy/rooms/lobby", `{"connections":0,"presenceMembers":0}`},
			{http.MethodHead, "/occupancy/rooms/lobby", ""},
		} {
			resp, body := s.get(test.method, test.path)
			if resp.StatusCode != http.StatusOK || body != test.body {
				t.Errorf("next to %q: %s %s: %s %s, want %s", hostPatterns, test.method, test.path, resp.Status, body, test.body)
			}
		}
		stream := s.openStream("/occupancy/events?room=lobby")
		stream.readUntil(0)
		stream.close()
	}
}
