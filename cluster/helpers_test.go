package cluster_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// The default times.
const (
	beat  = time.Second
	lease = 5 * beat
	hold  = 15 * time.Second
)

// bubble runs a subtest in a bubble of testing/synctest, with virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// hash returns the hash of the rooms, as cluster.proto defines it.
func hash(rooms map[string]occupancy.Occupancy) (sum uint64) {
	mix := func(x uint64) uint64 {
		x = (x ^ x>>33) * 0xff51afd7ed558ccd
		x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
		return x ^ x>>33
	}
	for room, o := range rooms {
		if o != (occupancy.Occupancy{}) {
			x := fnv.New64a()
			x.Write([]byte(room))
			sum += mix(x.Sum64() ^ mix(uint64(o.Connections)<<32|uint64(o.PresenceMembers)))
		}
	}
	return sum
}

func occ(connections, members int) occupancy.Occupancy {
	return occupancy.Occupancy{Connections: connections, PresenceMembers: members}
}

func room(i int) string { return fmt.Sprint("room", i) }

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// host is a process of the service: an engine, a bus and a node.
type host struct {
	*occupancy.Engine
	bus  *clustertest.Bus
	node *cluster.Node
}

// start starts a host and stops it at the end of the test.
func start(t testing.TB, net *clustertest.Network, name string, opts ...cluster.Option) *host {
	t.Helper()
	n := net.StartNode(t, name, occupancy.New(), opts...)
	return &host{n.Engine, n.Bus, n.Node}
}

// crash stops the host without a Bye, like kill -9.
func (h *host) crash() {
	_ = h.bus.Close(context.Background())
	_ = h.node.Close()
	_ = h.Close()
}

// join adds n connections to the room.
func (h *host) join(t testing.TB, room string, n int) {
	t.Helper()
	for range n {
		require.NoError(t, h.Join(room))
	}
}

// settle waits until all goroutines wait for a time or for an event.
func settle() {
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
