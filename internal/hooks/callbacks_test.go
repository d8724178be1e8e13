package hooks

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

// The methods run concurrently, like the callbacks of one client.
func TestRoomLeases_ConcurrentCallsInAnyOrder(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	for range 200 {
		leases := &roomLeases{engine: engine}
		var callbacks sync.WaitGroup
		for range 4 {
			callbacks.Go(func() { _ = leases.join("lobby") })
			callbacks.Go(func() { leases.leave("lobby") })
			callbacks.Go(func() { _ = leases.join("music") })
		}
		callbacks.Go(leases.close)
		callbacks.Wait()
		require.Zero(t, engine.Current("lobby"))
		require.Zero(t, engine.Current("music"))
	}
	leases := &roomLeases{engine: engine}
	require.ErrorIs(t, leases.join(""), occupancy.ErrInvalidRoom)
	require.NoError(t, leases.join("lobby"))
	require.Equal(t, 1, engine.Current("lobby").Connections)
	leases.close()
	leases.close()
	require.Eventually(t, func() bool { return engine.Stats().Rooms == 0 }, timeout, time.Millisecond)
}
