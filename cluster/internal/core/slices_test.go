package core

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// sliceCounter counts the rooms that a Machine handles between two calls of Yield.
type sliceCounter struct{ rooms, longest, yields int }

func (c *sliceCounter) add(n int) {
	c.rooms += n
	c.longest = max(c.longest, c.rooms)
}

func (c *sliceCounter) yield() {
	c.yields++
	c.rooms = 0
}

// countedTable reports every access to a room.
type countedTable struct {
	Table
	*sliceCounter
	refuse *bool // Set refuses all parts
}

func (t countedTable) Get(room string) occupancy.Part {
	t.add(1)
	return t.Table.Get(room)
}

func (t countedTable) Set(parts ...occupancy.Part) error {
	t.add(len(parts))
	if !*t.refuse {
		return t.Table.Set(parts...)
	}
	var err occupancy.SetError
	for _, p := range parts {
		err.Refused = append(err.Refused, occupancy.RefusedPart{Part: p, Err: occupancy.ErrTooManyRooms})
	}
	return &err
}

func (t countedTable) All() iter.Seq[occupancy.Part] {
	return func(yield func(occupancy.Part) bool) {
		for part := range t.Table.All() {
			t.add(1)
			if !yield(part) {
				return
			}
		}
	}
}

// Every large update is divided into slices of batchLen rooms. A slice reads as many rooms,
// and sets at most these rooms and one earlier batch.
func TestMachine_LargeUpdatesRunInSlices(t *testing.T) {
	const rooms = 20 * batchLen
	var c sliceCounter
	refuse := false
	cfg := testConfig()
	cfg.TombstoneSlack = 3 * rooms
	cfg.MaxRooms, cfg.Forget, cfg.FlushSize, cfg.ReplySize, cfg.Yield = rooms, time.Hour, 32<<10, 256<<10, c.yield
	cfg.NewTable = func(string) Table { return countedTable{newKeptCounts(), &c, &refuse} }
	m := New(*cfg)
	m.Start(0)
	m.SetConnected(true, 0)
	now, beats := time.Duration(0), uint64(0)
	peer := digestWriter{id: Incarnation{8}, name: "peer", limit: 1 << 20}
	other := digestWriter{id: Incarnation{2}, name: "other", limit: 1 << 20}
	receive := func(w *digestWriter, s span, counts roomCounts) {
		if counts != 0 {
			for i := range rooms {
				require.True(t, w.add(fmt.Sprint("room", i), counts, 0, nil, nil))
			}
		}
		m.Receive(SyncReply, w.finish(s), now)
	}
	sendBeat := func(hash uint64) {
		beats++
		h := heartbeat{from: peer.id, name: []byte(peer.name), seq: m.members.byID[peer.id].stream.applied, hash: hash, beat: beats}
		m.Receive(Heartbeat, h.encode(), now)
	}
	// tick lets time pass, while only the peer other sends heartbeats.
	tick := func(d time.Duration) {
		for end := now + d; now < end; now += beat {
			h := heartbeat{from: other.id, name: []byte(other.name), beat: uint64(now) + 1}
			m.Receive(Heartbeat, h.encode(), now)
			m.Tick(now, 1<<20)
			m.Take()
		}
	}
	do := func(what string, f func()) {
		c = sliceCounter{}
		f()
		require.GreaterOrEqual(t, c.yields, rooms/batchLen-1, what)
		require.LessOrEqual(t, c.longest, 3*batchLen, what)
	}
	tick(beat)
	do("a peer joins", func() { receive(&peer, span{reset: true, seq: 1, snapshotEnd: 1}, 1) })
	p := m.members.byID[peer.id]
	require.Equal(t, rooms, p.table.rooms)
	sendBeat(1) // a wrong hash
	do("a snapshot without changes", func() { receive(&peer, span{reset: true, seq: 2, snapshotEnd: 2}, 1) })
	do("a peer is lost", func() { tick(lease + 3*beat) })
	require.Equal(t, Missing, p.state)
	do("a lost peer returns", func() { sendBeat(p.table.hash) })
	require.Equal(t, Live, p.state)
	sendBeat(1)
	do("a snapshot lacks all rooms", func() { receive(&peer, span{reset: true, seq: 3, snapshotEnd: 3}, 0) })
	require.Zero(t, p.table.rooms)

	refuse = true
	receive(&peer, span{base: 3, seq: 4}, 1)
	require.Len(t, p.table.refused, rooms)
	c = sliceCounter{}
	p.table.retryRefused()
	require.Equal(t, batchLen, c.longest) // one slice for each heartbeat
	refuse = false
	do("the engine accepts refused counts again", p.table.retryRefused)
	require.Empty(t, p.table.refused)

	var events []Change
	for i := range rooms {
		events = append(events, Change{RoomEvent: occupancy.RoomEvent{Room: fmt.Sprint("room", i), Event: occupancy.Event{Occupancy: occupancy.Occupancy{Connections: 1}}}})
	}
	do("changes are published", func() { m.Change(events, 0) })
	for i := range events {
		events[i].Occupancy.Connections = 2
	}
	m.Change(events, 0)
	do("a reply without the outdated changes", func() { m.next(&cursor{base: 1, end: m.seq}, &peer) })
	for i := range events {
		events[i].Occupancy.Connections = 0
	}
	m.Change(events, 0)
	m.slack = 0
	do("tombstones are removed", func() { m.compact(0) })
}
