package hooks

import (
	"context"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func newReconnecting(t *testing.T, ctx context.Context) *server {
	engine := newEngine(t, occupancy.WithUsers())
	s := newServer(t, engine, "GET /ws/{room}", handler(ctx, engine, serveReconnecting))
	s.path = func(room string) string { return "/ws/" + room + "?user=alice" }
	return s
}

func (s *server) waitLingering(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.engine.Stats().Lingering == n }, timeout, time.Millisecond)
}

var oneUser = occupancy.Occupancy{Connections: 1, PresenceMembers: 1, Users: 1}

// A client whose connection breaks, or whose page is reloaded, reconnects without an event.
func TestReconnecting_IsInvisible(t *testing.T) {
	t.Parallel()
	for name, disconnect := range map[string]func(*testing.T, *testClient){
		"broken connection": func(t *testing.T, c *testClient) { require.NoError(t, c.tcp.Close()) },
		"reload":            func(t *testing.T, c *testClient) { c.closeWith(t, websocket.CloseGoingAway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newReconnecting(t, t.Context())
			c := s.dial(t, "lobby")
			require.Eventually(t, func() bool { return s.engine.Current("lobby") == oneUser }, timeout, time.Millisecond)
			disconnect(t, c)
			s.waitLingering(t, 1)
			require.Equal(t, oneUser, s.engine.Current("lobby"))
			other := s.dial(t, "lobby")
			s.waitLingering(t, 0) // taken over
			other.send("hello")
			other.receive(t, "hello")
			require.Equal(t, oneUser, s.engine.Current("lobby"))
			other.closeFrame(t) // a normal close
			s.waitEmpty(t)
			require.Zero(t, s.engine.Stats().Lingering)
		})
	}
}

func TestReconnecting_EndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := newReconnecting(t, ctx)
	c := s.dial(t, "lobby")
	require.Eventually(t, func() bool { return s.engine.Current("lobby") == oneUser }, timeout, time.Millisecond)
	cancel()
	c.waitClosed(t)
	require.Equal(t, stopping, c.err)
}
