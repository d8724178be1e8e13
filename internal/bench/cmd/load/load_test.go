//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
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

// requireRedis skips the test if redis-server is not installed.
func requireRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("redis-server is not installed")
	}
}

func TestRun_CountsAreExactAtEnd(t *testing.T) {
	for _, service := range []struct{ bus, mode string }{{"nats", mesh}, {"nats", aggregators}, {"redis", mesh}} {
		t.Run(service.bus+", "+service.mode, func(t *testing.T) {
			if service.bus == "redis" {
				requireRedis(t)
			}
			c := config{bus: service.bus, mode: service.mode, aggregators: 2, nodes: 5, changes: 200, rooms: 20, probesPerSecond: 4, flush: 100 * time.Millisecond, duration: time.Second}
			r, err := run(t.Context(), c)
			require.NoError(t, err)
			require.Equal(t, c.nodes, r.exactNodeCount)
			require.Positive(t, r.changesMade)
			require.NotEmpty(t, r.latencies)
			require.Greater(t, r.traffic.messages, r.traffic.messagesOut)
			require.Equal(t, c.mode == aggregators, r.aggregatorTraffic.messages > 0)
			require.Greater(t, r.after.writes, r.before.writes)
			require.Positive(t, r.after.memory)
			require.Positive(t, r.perMessage.writes)
			require.Positive(t, r.perFlush.writes)
			var out bytes.Buffer
			r.print(&out)
			t.Logf("\n%s", &out)
		})
	}
}

func TestCountExactNodes_DetectsWrongCounts(t *testing.T) {
	c := config{bus: "nats", mode: mesh, nodes: 2, rooms: 3, flush: 10 * time.Millisecond}
	server, err := brokers[c.bus].start()
	require.NoError(t, err)
	defer server.stop()
	all, err := startNodes(t.Context(), server.address, c)
	require.NoError(t, err)
	defer func() { require.NoError(t, all.close()) }()
	l, err := newLoad(c, all)
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
