package occupancyhttp_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// bothProtocols runs a test in a bubble, which fails if a goroutine is left at its end.
func bothProtocols(t *testing.T, f func(t *testing.T, tune func(*http.Server))) {
	t.Run("HTTP1", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, func(*http.Server) {}) })
	})
	t.Run("HTTP2", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, http2) }) })
}

func TestAClosingEngineEndsStreamsAfterTheLastWord(t *testing.T) {
	bothProtocols(t, func(t *testing.T, tune func(*http.Server)) {
		e := newEngine(t, occupancy.WithInterval(time.Hour))
		s := newSite(t, occupancyhttp.NewHandler(e), tune)
		one := s.listen("/rooms/lobby/occupancy/events")
		many := s.listen("/occupancy/events?room=other&room=lobby")
		one.next()
		many.next()
		many.next()
		for range 3 { // the first is told at once, the others are for the hour's end
			must(t, e.Join("lobby"))
			synctest.Wait()
		}
		must(t, e.Close())
		for _, l := range []*listener{one, many} {
			rest := l.over()
			if at := strings.LastIndex(rest, "data: "); at < 0 || !strings.Contains(rest[at:], `"connections":3`) {
				t.Errorf("the stream's last words are %q", rest)
			}
		}
		resp, _ := s.get(http.MethodGet, "/rooms/lobby/occupancy/events")
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s after Close", resp.Status)
		}
	})
}

func TestAServerThatShutsDownEndsItsStreamsAndNoOthers(t *testing.T) {
	bothProtocols(t, func(t *testing.T, tune func(*http.Server)) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e)
		ending := newSite(t, http.StripPrefix("/x", h), tune)
		staying := newSite(t, h, tune)
		a := ending.listen("/x/rooms/lobby/occupancy/events")
		b := ending.listen("/x/occupancy/events?room=lobby")
		c := staying.listen("/rooms/lobby/occupancy/events")
		a.next()
		b.next()
		c.next()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		down := make(chan error)
		go func() { down <- ending.server.Shutdown(ctx) }()
		a.over()
		b.over()
		must(t, <-down)
		must(t, e.Join("lobby"))
		c.until(1)
		c.leave()
	})
}

// The first stream of a server that is shutting down already: its function of WithAuthorize
// took until then.
func TestAStreamThatBeginsDuringShutdownEnds(t *testing.T) {
	bothProtocols(t, func(t *testing.T, tune func(*http.Server)) {
		asked, answer := make(chan struct{}), make(chan struct{})
		s := newSite(t, occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(*http.Request, string) error {
			close(asked)
			<-answer
			return nil
		})), tune)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		down := make(chan error, 1)
		go func() {
			<-asked
			time.AfterFunc(time.Second, func() { close(answer) })
			down <- s.server.Shutdown(ctx)
			cancel()
		}()
		l := s.listen("/rooms/lobby/occupancy/events")
		context.AfterFunc(ctx, l.leave)
		l.over()
		must(t, <-down)
	})
}

func TestAClientThatGoesLeavesNothingBehind(t *testing.T) {
	bothProtocols(t, func(t *testing.T, tune func(*http.Server)) {
		e := newEngine(t)
		s := newSite(t, occupancyhttp.NewHandler(e), tune)
		a := s.listen("/rooms/lobby/occupancy/events")
		b := s.listen("/occupancy/events?room=lobby&room=other")
		a.next()
		b.next()
		a.leave()
		synctest.Wait()
		if got := e.Stats(); got.Rooms != 2 || got.Subscriptions != 2 {
			t.Errorf("%+v with one stream of two rooms", got)
		}
		b.leave()
		time.Sleep(time.Second) // the engine lets go of the rooms within its interval
		synctest.Wait()
		if got := e.Stats(); got.Rooms != 0 || got.Subscriptions != 0 {
			t.Errorf("%+v without a stream", got)
		}
	})
}

func TestACancelledRequestEndsItsStream(t *testing.T) {
	bothProtocols(t, func(t *testing.T, tune func(*http.Server)) {
		h := occupancyhttp.NewHandler(newEngine(t))
		s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Minute) // a session that expires
			defer cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		}), tune)
		start := time.Now()
		l := s.listen("/rooms/lobby/occupancy/events")
		l.over()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestAStreamsConnectionServesTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newSite(t, occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(0)))
		l := s.listen("/rooms/lobby/occupancy/events")
		l.next()
		time.Sleep(time.Minute) // longer than a write may take, and no reason to cut the end
		must(t, e.Close())
		l.over()
		time.Sleep(time.Minute) // a write deadline that is left behind has passed
		if resp, _ := s.get(http.MethodGet, "/occupancy.js"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s", resp.Status)
		}
		if got := s.pipes.dialled.Load(); got != 1 {
			t.Errorf("%d connections", got)
		}
	})
}

// An engine that closes while streams begin: each ends or is refused, and none is left.
func TestAnEngineMayCloseWhileStreamsBegin(t *testing.T) {
	for range 20 {
		e := occupancy.New(occupancy.WithInterval(0))
		h := occupancyhttp.NewHandler(e)
		var streams sync.WaitGroup
		for i := range 50 {
			path := "/rooms/lobby/occupancy/events"
			if i%2 == 0 {
				path = "/occupancy/events?room=lobby&room=other"
			}
			streams.Go(func() {
				resp := ask(h, http.MethodGet, path)
				if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("%s", resp.Status)
				}
			})
		}
		must(t, e.Close())
		streams.Wait()
	}
}

// Over TLS, as browsers speak HTTP/2: the last word is delivered and the server shuts down.
func TestStreamsOverTLS(t *testing.T) {
	e := newEngine(t)
	s := httptest.NewUnstartedServer(occupancyhttp.NewHandler(e))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	resp, err := s.Client().Get(s.URL + "/rooms/lobby/occupancy/events")
	must(t, err)
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("this is %s", resp.Proto)
	}
	l := &listener{t: t, resp: resp, lines: bufio.NewReader(resp.Body), cancel: func() {}}
	l.until(0)
	must(t, e.Join("lobby"))
	l.until(1)
	down := make(chan error)
	go func() { down <- s.Config.Shutdown(t.Context()) }()
	l.over()
	must(t, <-down)
}

// A handler outlives the servers that it is used by, and keeps none of them.
func TestAServerThatIsGoneIsNotKept(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t))
	var gone weak.Pointer[http.Server]
	t.Run("serve", func(t *testing.T) {
		s := newSite(t, h)
		gone = weak.Make(s.server)
		s.listen("/rooms/lobby/occupancy/events").next()
	})
	for deadline := time.Now().Add(10 * time.Second); gone.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the handler keeps a server that has been closed")
		}
	}
	runtime.KeepAlive(h)
}
