//go:build unix

package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain runs a measured process instead of the tests if runChild finds its environment
// variable.
func TestMain(m *testing.M) {
	runChild()
	os.Exit(m.Run())
}

func TestRun_CountsAreExactAtEnd(t *testing.T) {
	c := config{nodes: 5, changes: 200, rooms: 20, probesPerSecond: 4, flush: 100 * time.Millisecond, duration: time.Second}
	r, err := run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, c.nodes, r.exactNodeCount)
	require.Positive(t, r.changesMade)
	require.NotEmpty(t, r.latencies)
	require.Positive(t, r.traffic.messages)
	require.Positive(t, r.after.OutMsgs)
	require.Positive(t, r.perMessage.cores)
	require.Positive(t, r.perFlush.cores)
	var out bytes.Buffer
	r.print(&out)
	t.Logf("\n%s", &out)
}

func TestCountExactNodes_DetectsWrongCounts(t *testing.T) {
	server, err := startServer("")
	require.NoError(t, err)
	defer func() { require.NoError(t, server.stop()) }()
	all, err := startNodes(t.Context(), server.address, 2, 10*time.Millisecond)
	require.NoError(t, err)
	defer func() { require.NoError(t, all.close()) }()
	l, err := newLoad(config{nodes: 2, rooms: 3}, all)
	require.NoError(t, err)
	defer l.unsubscribe()
	require.Equal(t, 2, l.countExactNodes())
	require.NoError(t, l.drivers[0].change(1))
	require.NoError(t, l.awaitExact())
	require.NoError(t, all[0].eng.Join("another"))
	require.Less(t, l.countExactNodes(), 2, "a node has an additional room")
	require.NoError(t, all[0].eng.Leave("another"))
	require.NoError(t, l.awaitExact())
	l.drivers[0].occupied[1] = false
	require.Zero(t, l.countExactNodes(), "every node counts a client that the driver does not")
}
