package hooks

import (
	"testing"

	"github.com/occupancy/occupancy"
)

func newCallbacks(t *testing.T, engine *occupancy.Engine) *server {
	s := newServer(t, engine, "GET /ws", newCallbackServer(engine))
	s.path = func(string) string { return "/ws" }
	s.join = func(_ *testing.T, c *testClient, room string) {
		c.send(`{"event":"join","room":"` + room + `"}`)
	}
	return s
}

func TestCallbacks_Disconnects(t *testing.T) {
	t.Parallel()
	s := newCallbacks(t, newEngine(t))
	s.testDisconnects(t)
	s.testInvalidRoom(t)
}

func TestCallbacks_JoinAndLeave(t *testing.T) {
	t.Parallel()
	s := newCallbacks(t, newEngine(t))
	c, other := s.dial(t, "lobby"), s.dial(t, "lobby")
	s.waitFor(t, "lobby", 2)
	c.send(`{"event":"join","room":"music"}`)
	s.waitFor(t, "music", 1)
	c.send(`{"event":"leave","room":"lobby"}`)
	s.waitFor(t, "lobby", 1)
	c.closeFrame(t)
	s.waitFor(t, "music", 0)
	s.waitFor(t, "lobby", 1)
	other.closeFrame(t)
	s.waitEmpty(t)
}
