package hooks

import (
	"context"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestSubscribe(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	s := newServer(t, engine, "GET /ws/{room}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveSubscribed(engine, w, r) }))
	one := s.dial(t, "lobby")
	require.Equal(t, `{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}`+"\n", one.receive(t, ""))
	two := s.dial(t, "lobby")
	one.receive(t, `"connections":2`)
	two.receive(t, `"connections":2`)
	two.closeFrame(t)
	one.receive(t, `"connections":1`)
	one.closeFrame(t)
	s.waitEmpty(t)

	s.testDisconnects(t)
	require.Eventually(t, func() bool { return engine.Stats().Subscriptions == 0 }, timeout, time.Millisecond)
}

func (l *lobby) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.clients) == 0
}

func newLobbyServer(t *testing.T, engine *occupancy.Engine) *server {
	l := newLobby()
	stopped := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { stopped <- l.run(ctx, engine) }()
	t.Cleanup(func() {
		require.Eventually(t, l.empty, timeout, time.Millisecond, "clients that are gone are removed")
		stop()
		require.ErrorIs(t, <-stopped, context.Canceled)
	})
	require.Eventually(t, func() bool { return engine.Stats().Watchers == 1 }, timeout, time.Millisecond)
	return newServer(t, engine, "GET /ws/{room}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveLobby(engine, l, w, r) }))
}

func TestWatch(t *testing.T) {
	t.Parallel()
	s := newLobbyServer(t, newEngine(t))
	one := s.dial(t, "lobby")
	require.Equal(t, `{"room":"lobby","type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}`+"\n", one.receive(t, ""))
	two := s.dial(t, "lobby")
	one.receive(t, `"connections":2`)
	two.receive(t, `"connections":2`)
	other := s.dial(t, "other")
	require.Contains(t, other.receive(t, ""), `"room":"other"`)
	two.closeFrame(t)
	one.receive(t, `"connections":1`)
	one.closeFrame(t)
	other.closeFrame(t)
	s.waitEmpty(t)

	s.testDisconnects(t)
}

// A client arrives and another one leaves within one interval, so no event is published.
// The new client must receive the right value nevertheless.
func TestWatch_ArrivalAndDepartureCancelOut(t *testing.T) {
	t.Parallel()
	s := newLobbyServer(t, newEngine(t, occupancy.WithInterval(time.Hour)))
	one := s.dial(t, "lobby")
	one.receive(t, `"connections":1`) // published at once: the first change
	published := s.engine.Stats().Published

	two := s.dial(t, "lobby")
	s.waitFor(t, "lobby", 2)
	require.Contains(t, two.receive(t, ""), `"connections":1,`)
	one.closeFrame(t)
	s.waitFor(t, "lobby", 1)
	require.Equal(t, published, s.engine.Stats().Published)
	require.Empty(t, two.messages, "the first value is the right one, and the only one")
	two.closeFrame(t)
	s.waitEmpty(t)
}

// The goroutines of disconnected clients end.
func TestGoroutinesEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("server", func(t *testing.T) {
		engine := newEngine(t)
		l := newLobby()
		for _, handler := range []http.HandlerFunc{
			func(w http.ResponseWriter, r *http.Request) { serveRoom(engine, w, r) },
			func(w http.ResponseWriter, r *http.Request) { servePumps(engine, w, r) },
			func(w http.ResponseWriter, r *http.Request) { serveWebsocket(engine, w, r) },
			func(w http.ResponseWriter, r *http.Request) { serveSubscribed(engine, w, r) },
			func(w http.ResponseWriter, r *http.Request) { serveLobby(engine, l, w, r) },
		} {
			s := newServer(t, engine, "GET /ws/{room}", handler)
			for _, disconnect := range disconnects {
				disconnect(t, s.dial(t, "lobby"))
			}
		}
	})
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, timeout, time.Millisecond) // Eventually runs one
}
