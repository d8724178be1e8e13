package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

// The second node fails like a process that is killed: it does not tell the first node. Then it
// starts again.
func TestSecondNode_FailsAndReturns(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	flags := clusterFlags{seed: true, seedAddr: "127.0.0.1:0", clientAddr: "127.0.0.1:0"}
	s := startWith(t, longTimeouts, flags)
	first := s.node.node.Health().Name
	second, err := newSecondNode(flags, s.node, log)
	require.NoError(t, err)
	second.downtime = 0
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { second.run(ctx) })
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	both := []nodeStatus{{first, cluster.Live}, {first + "-2", cluster.Live}} // the names are the same after a restart
	waitNodes := func() {
		s.waitUntil(func() bool {
			var got status
			_, body := s.get("/status")
			require.NoError(t, json.Unmarshal([]byte(body), &got))
			return len(got.Nodes) == 2 && got.Nodes[0] == both[0] && got.Nodes[1] == both[1]
		})
	}
	waitNodes()

	s.dial("lobby")
	client, _, err := websocket.Dial(t.Context(), "ws://"+second.addr+"/ws/lobby", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.CloseNow() })
	require.NoError(t, receive(client, fmt.Sprintf(
		`{"type":"occupancy.updated","occupancy":{"connections":2,"presenceMembers":0},"nodes":{"%[1]s":1,"%[1]s-2":1}}`, first)))

	second.fail()
	s.waitUntil(func() bool { return s.node.node.Health().Dropped == 1 })
	waitNodes()
	s.waitUntil(func() bool {
		return s.node.connectionsByNode("lobby")[first] == 1 && s.engine.Current("lobby").Connections == 1
	})
}

func TestSecondNode_RequiresSeed(t *testing.T) {
	second, err := newSecondNode(clusterFlags{}, nil, nil)
	require.NoError(t, err)
	require.Nil(t, second)
}
