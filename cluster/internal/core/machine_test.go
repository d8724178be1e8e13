package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// testMachine returns a connected machine that has sent its first heartbeat.
func testMachine() *Machine {
	cfg := testConfig()
	cfg.MaxPeers, cfg.Forget, cfg.ExpectedNodes, cfg.FlushSize, cfg.ReplySize = 1000, forget, 1, 700, 800
	n := &node{tables: map[*mapTable]struct{}{}}
	cfg.NewTable = n.newTable
	cfg.Local = func(string) occupancy.Occupancy { return occupancy.Occupancy{} }
	m := New(*cfg)
	m.Start(0)
	m.SetConnected(true, 0)
	m.Tick(0, 800)
	m.Take()
	return m
}

// sent returns the kinds of the messages that the machine has sent.
func sent(m *Machine, now time.Duration) map[Kind]int {
	kinds := map[Kind]int{}
	messages, _ := m.Take()
	for _, msg := range messages {
		kinds[msg.Kind]++
		m.Sent(msg, nil, now)
	}
	return kinds
}

func beatOf(id byte, number, seq uint64) []byte {
	h := heartbeat{from: Incarnation{0, id}, name: []byte{'p', id%26 + 'a'}, seq: seq, hash: seq, beat: number}
	return h.encode()
}

func TestMachine_AtMostEightSyncsAtOnce(t *testing.T) {
	m := testMachine()
	for id := range byte(100) {
		m.Receive(Heartbeat, beatOf(id, 1, 5), 0)
	}
	for now := beat / 10; now < 3*beat; now += beat / 10 {
		m.Tick(now, 800)
		require.LessOrEqual(t, sent(m, now)[SyncRequest], maxSyncs)
	}
	// The next request is sent when a whole reply has arrived.
	var next *peer
	for _, p := range m.members.peers {
		if p.stream.awaiting(3 * beat) {
			next = p
		}
	}
	require.NotNil(t, next)
	w := digestWriter{id: next.id, name: next.name, limit: 700}
	m.Receive(SyncReply, w.finish(span{reset: true, seq: 4, snapshotEnd: 5}), 3*beat)
	require.Zero(t, sent(m, 3*beat)[SyncRequest])
	m.Receive(SyncReply, w.finish(span{base: 4, seq: 5}), 3*beat)
	require.Equal(t, 1, sent(m, 3*beat)[SyncRequest])
}

func TestMachine_OverloadedOnlyRenewsLeases(t *testing.T) {
	m := testMachine()
	m.Receive(Heartbeat, beatOf(1, 1, 0), 0)
	m.Tick(beat/2, 800)
	sent(m, beat/2)
	m.SetOverloaded(true)
	m.Receive(Heartbeat, beatOf(1, 2, 7), 3*beat) // the digests before it wait in the inbox
	m.SetLossy(3 * beat)
	require.Zero(t, sent(m, 3*beat)[SyncRequest])
	require.Equal(t, 3*beat, m.members.peers[0].leaseStart)
	require.Equal(t, "this node is overloaded: many messages wait", m.Reasons(5 * beat)[0].Text)
	require.Equal(t, uint64(flagDegraded|flagBacklog), m.newHeartbeat(5*beat).flags)
	m.SetOverloaded(false)
	m.Receive(Heartbeat, beatOf(1, 3, 7), 4*beat)
	require.Equal(t, 1, sent(m, 4*beat)[SyncRequest])
}

func TestMachine_Disconnected_LosesPeersOnlyIfItHearsOthers(t *testing.T) {
	for _, hears := range []bool{false, true} {
		m := testMachine()
		for id := range byte(3) {
			m.Receive(Heartbeat, beatOf(id, 1, 0), 0)
		}
		m.SetConnected(false, 0)
		for now := beat; now < lease+3*beat; now += beat {
			if hears {
				m.Receive(Heartbeat, beatOf(0, uint64(now), 0), now)
				m.Receive(Heartbeat, beatOf(1, uint64(now), 0), now)
			}
			m.Tick(now, 800)
			m.Take()
		}
		states := map[State]int{}
		for _, p := range m.members.peers {
			states[p.state]++
		}
		if hears {
			require.Equal(t, map[State]int{Live: 2, Missing: 1}, states)
		} else {
			require.Equal(t, map[State]int{Live: 3}, states)
		}
		require.NotEmpty(t, m.Reasons(lease+3*beat))
	}
}

// A peer that is returning sends a sync request in the instant in which it becomes Missing.
func TestMachine_AnswersPeerThatBecomesMissing(t *testing.T) {
	m := testMachine()
	m.Change([]Change{{RoomEvent: occupancy.RoomEvent{Room: "room", Event: occupancy.Event{Occupancy: occupancy.Occupancy{Connections: 1}}}}}, 0)
	m.Receive(Heartbeat, beatOf(1, 1, 0), 0)
	end := m.members.lease(m.members.peers[0]) + beat
	for now := beat; now < end; now += beat {
		m.Tick(now, 800)
		sent(m, now)
	}
	m.Receive(SyncRequest, (&syncRequest{from: m.members.peers[0].id, to: m.cfg.ID}).encode(), end)
	m.Tick(end, 800)
	require.Equal(t, Missing, m.members.peers[0].state)
	require.Equal(t, 1, sent(m, end)[SyncReply])
}
