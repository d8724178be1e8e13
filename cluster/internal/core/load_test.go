package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startLoad starts a simulation without faults, and waits until all nodes have synchronized.
func startLoad(t *testing.T, nodes, rooms int) *sim {
	s := newSim(1, nil)
	s.interval, s.long, s.rooms = 0, 1, rooms
	for i := range nodes {
		s.start(Mesh, fmt.Sprint("n", i))
	}
	s.advance(s.now + 3*beat)
	_, wrong := s.mismatch()
	require.NoError(t, wrong)
	return s
}

// busyNode handles one message at a time, like the loop of package cluster: heartbeats first
// if more than half of the inbox is full. Messages that arrive while the inbox is full are
// lost.
type busyNode struct {
	*node
	cost    time.Duration // the time for each message
	inbox   []message
	batch   []message // is handled before the inbox
	working bool
}

type message struct {
	kind    Kind
	payload []byte
}

const inboxLen = 1024

func (b *busyNode) deliver(kind Kind, payload []byte) {
	if len(b.inbox) == inboxLen {
		b.input(func() { b.m.SetLossy(b.s.now) })
		return
	}
	b.inbox = append(b.inbox, message{kind, payload})
	if !b.working {
		b.work()
	}
}

func (b *busyNode) work() {
	if len(b.batch) == 0 {
		overloaded, n := len(b.inbox) > inboxLen/2, min(1, len(b.inbox))
		if overloaded {
			n = len(b.inbox)
		}
		b.input(func() { b.m.SetOverloaded(overloaded) })
		b.batch, b.inbox = slices.Clone(b.inbox[:n]), b.inbox[n:]
		slices.SortStableFunc(b.batch, func(x, y message) int { return toInt(y.kind == Heartbeat) - toInt(x.kind == Heartbeat) })
	}
	if b.working = len(b.batch) > 0; !b.working {
		return
	}
	m := b.batch[0]
	b.batch = b.batch[1:]
	b.s.at(b.s.now+b.cost, func() {
		b.input(func() { b.m.Receive(m.kind, m.payload, b.s.now) })
		b.work()
	})
}

// A node receives one and a half times as many messages as it can handle, for one minute.
// It loses no peer, it is degraded, it requests few syncs, and its counts are exact soon
// after the load has ended.
func TestLoad_TooLittleCPU(t *testing.T) {
	s := startLoad(t, 40, 50)
	n := s.nodes[0]
	n.busy = &busyNode{node: n, cost: 8 * time.Millisecond}
	before := n.m.Counters
	for range 60 * 5 {
		for _, other := range s.nodes {
			s.callHook(other)
		}
		s.advance(s.now + 200*time.Millisecond)
	}
	stop := s.now
	require.NotEmpty(t, n.m.Reasons(s.now))
	for _, wrong := s.mismatch(); wrong != nil; _, wrong = s.mismatch() {
		require.Less(t, s.now-stop, time.Minute)
		s.advance(s.now + 100*time.Millisecond)
	}
	took, resyncs := s.now-stop, n.m.Resyncs-before.Resyncs
	t.Logf("exact after %v, %d sync requests, %d messages lost", took, resyncs, n.m.Lossy)
	require.Less(t, took, 20*time.Second) // 2·1024 messages wait, which takes 16 s
	require.Less(t, resyncs, uint64(300)) // of 39 peers in 73 seconds
	require.Positive(t, n.m.Lossy)
	require.Equal(t, before.Dropped, n.m.Dropped)
	s.advance(s.now + 20*beat)
	require.Empty(t, n.m.Reasons(s.now))
	require.NoError(t, s.err)
}

// Nodes join while the bus needs several seconds for each message. Each of them receives one
// snapshot of each node.
func TestLoad_SlowBus(t *testing.T) {
	s := startLoad(t, 3, 500)
	for _, n := range s.nodes {
		for range 3000 {
			s.callHook(n)
		}
	}
	s.advance(s.now + 3*beat)
	old := slices.Clone(s.nodes)
	served := old[0].m.Served
	s.faults = faults{minDelay: 4 * time.Second, maxDelay: 4 * time.Second}
	for i := range 5 {
		s.start(Mesh, fmt.Sprint("new", i))
	}
	s.advance(s.now + 30*beat)
	_, wrong := s.mismatch()
	require.NoError(t, wrong)
	for _, n := range old {
		require.Equal(t, served+5, n.m.Served)
	}
	require.NoError(t, s.err)
}
