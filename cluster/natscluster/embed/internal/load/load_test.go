//go:build unix

package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain is also the processes that are measured.
func TestMain(m *testing.M) {
	asked()
	os.Exit(m.Run())
}

// Whatever the machine does meanwhile, five nodes are exact in the end.
func TestLoad_EndsExact(t *testing.T) {
	c := config{nodes: 5, changes: 200, rooms: 20, probes: 4, flush: 100 * time.Millisecond, duration: time.Second}
	r, err := run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, c.nodes, r.exact)
	require.Positive(t, r.made)
	require.NotEmpty(t, r.latencies)
	require.Positive(t, r.traffic.messages)
	require.Positive(t, r.to.OutMsgs)
	require.Positive(t, r.single.cores)
	require.Positive(t, r.gathered.cores)
	var out bytes.Buffer
	r.print(&out)
	t.Logf("\n%s", &out)
}

// It must not call a node exact that is not.
func TestLoad_FindsANodeThatIsNotExact(t *testing.T) {
	server, err := startServer("")
	require.NoError(t, err)
	defer func() { require.NoError(t, server.stop()) }()
	nodes, err := startFleet(t.Context(), server.address, 2, 10*time.Millisecond)
	require.NoError(t, err)
	defer func() { require.NoError(t, nodes.close()) }()
	l, err := newLoad(config{nodes: 2, rooms: 3}, nodes)
	require.NoError(t, err)
	defer l.unsubscribe()
	require.Equal(t, 2, l.exact())
	require.NoError(t, l.drivers[0].change(1))
	require.NoError(t, l.settle())
	require.NoError(t, nodes[0].eng.Join("another"))
	require.Less(t, l.exact(), 2, "there is a room too many")
	require.NoError(t, nodes[0].eng.Leave("another"))
	require.NoError(t, l.settle())
	l.drivers[0].in[1] = false
	require.Zero(t, l.exact())
}
