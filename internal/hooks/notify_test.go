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

func TestSubscribe_SendsEvents(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	s := newServer(t, engine, "GET /ws/{room}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveSubscribed(engine, w, r) }))
	s.testSubscriptions(t)
}

// testSubscriptions tests a server that sends the events of a subscription to each client.
func (s *server) testSubscriptions(t *testing.T) {
	t.Helper()
	one := s.dial(t, "lobby")
	require.Equal(t, eventJSON(1), one.receive(t, ""))
	two := s.dial(t, "lobby")
	one.receive(t, `"connections":2`)
	two.receive(t, `"connections":2`)
	two.closeFrame(t)
	one.receive(t, `"connections":1`)
	one.closeFrame(t)
	s.waitEmpty(t)

	s.testDisconnects(t)
	require.Eventually(t, func() bool { return s.engine.Stats().Subscriptions == 0 }, timeout, time.Millisecond)
}

func (b *broadcaster) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.channels) == 0
}

func newBroadcastServer(t *testing.T, engine *occupancy.Engine) *server {
	b := newBroadcaster()
	stopped := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { stopped <- b.run(ctx, engine) }()
	t.Cleanup(func() {
		require.Eventually(t, b.empty, timeout, time.Millisecond, "disconnected clients are removed")
		stop()
		require.ErrorIs(t, <-stopped, context.Canceled)
	})
	require.Eventually(t, func() bool { return engine.Stats().Watchers == 1 }, timeout, time.Millisecond)
	return newServer(t, engine, "GET /ws/{room}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveBroadcast(engine, b, w, r) }))
}

func TestWatch_SendsEvents(t *testing.T) {
	t.Parallel()
	s := newBroadcastServer(t, newEngine(t))
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

// A client connects and another client disconnects within one interval, so the engine
// publishes no event. The new client must still receive the correct counts.
func TestWatch_ConnectAndDisconnectWithinInterval(t *testing.T) {
	t.Parallel()
	s := newBroadcastServer(t, newEngine(t, occupancy.WithInterval(time.Hour)))
	one := s.dial(t, "lobby")
	one.receive(t, `"connections":1`) // the first change is published immediately
	published := s.engine.Stats().Published

	two := s.dial(t, "lobby")
	s.waitFor(t, "lobby", 2)
	require.Contains(t, two.receive(t, ""), `"connections":1,`)
	one.closeFrame(t)
	s.waitFor(t, "lobby", 1)
	require.Equal(t, published, s.engine.Stats().Published)
	require.Empty(t, two.messages, "the client received only the correct counts")
	two.closeFrame(t)
	s.waitEmpty(t)
}

func TestDisconnect_EndsGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("server", func(t *testing.T) {
		engine := newEngine(t)
		b := newBroadcaster()
		for _, h := range []http.HandlerFunc{
			handler(context.Background(), engine, serveRoom),
			handler(context.Background(), engine, servePumps),
			handler(context.Background(), engine, servePumpsWithEvents),
			handler(context.Background(), engine, serveWebsocket),
			func(w http.ResponseWriter, r *http.Request) { serveSubscribed(engine, w, r) },
			func(w http.ResponseWriter, r *http.Request) { serveBroadcast(engine, b, w, r) },
		} {
			s := newServer(t, engine, "GET /ws/{room}", h)
			for _, disconnect := range disconnects {
				disconnect(t, s.dial(t, "lobby"))
			}
		}
	})
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, timeout, time.Millisecond) // Eventually runs one goroutine
}
