package occupancyhttp_test

import (
	"context"
	"net/http"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestShutdown_StreamsOfOtherServerContinue(t *testing.T) {
	bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e)
		stopped := newTestServer(t, http.StripPrefix("/x", h), configure)
		running := newTestServer(t, h, configure)
		a := stopped.openStream("/x/events?room=lobby")
		b := stopped.openStream("/x/events?room=lobby")
		c := running.openStream("/events?room=lobby")
		a.nextEvent()
		b.nextEvent()
		c.nextEvent()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		down := make(chan error)
		go func() { down <- stopped.server.Shutdown(ctx) }()
		a.readToEnd()
		b.readToEnd()
		must(t, <-down)
		must(t, e.Join("lobby"))
		c.readUntil(1)
		c.close()
	})
}

// The server shuts down while the authorize function of its first stream is running.
func TestShutdown_EndsStreamThatIsStillOpening(t *testing.T) {
	bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
		called, proceed := make(chan struct{}), make(chan struct{})
		s := newTestServer(t, occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(*http.Request, string) error {
			close(called)
			<-proceed
			return nil
		})), configure)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		down := make(chan error, 1)
		go func() {
			<-called
			time.AfterFunc(time.Second, func() { close(proceed) })
			down <- s.server.Shutdown(ctx)
			cancel()
		}()
		stream := s.openStream("/events?room=lobby")
		context.AfterFunc(ctx, stream.close)
		stream.readToEnd()
		must(t, <-down)
	})
}

// Shutdown is called while the first stream of the server is still in middleware.
func TestShutdown_RefusesFirstStreamAfterwards(t *testing.T) {
	bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
		h := occupancyhttp.NewHandler(newEngine(t))
		var down chan error
		var s *testServer
		s = newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			down = make(chan error, 1)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			go func() {
				defer cancel()
				down <- s.server.Shutdown(ctx)
			}()
			time.Sleep(time.Second)
			h.ServeHTTP(w, r)
		}), configure)
		if resp, body := s.get(http.MethodGet, "/events?room=lobby"); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s", resp.Status, body)
		}
		must(t, <-down)
	})
}

// The handler is still used after its server is closed.
func TestShutdown_ClosedServerIsGarbageCollected(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t))
	var server weak.Pointer[http.Server]
	t.Run("serve", func(t *testing.T) {
		s := newTestServer(t, h)
		server = weak.Make(s.server)
		s.openStream("/events?room=lobby").nextEvent()
	})
	for deadline := time.Now().Add(10 * time.Second); server.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the handler keeps a closed server in memory")
		}
	}
	runtime.KeepAlive(h)
}
