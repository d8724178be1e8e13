package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// For each seq, a receiver with the state of that seq has the current state after the
// reply. The memory of the ledger is bounded.
func TestLedger_EncodeSinceReturnsAllChanges(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		l, changed := newLedger(1024, 10, func() {}), false
		now := map[string]roomState{}
		history := []map[string]roomState{{}} // by seq
		set := func(room string, p roomCounts) {
			users := randomUsers(r)
			state := stateOf(p, publish(p, userList{hashes: users}, 10))
			if state == now[room] {
				return
			}
			l.put(room, p, userList{hashes: users})
			changed = true
			now[room] = state
			if p == 0 {
				delete(now, room)
			}
			history = append(history, maps.Clone(now))
			if len(history) > 1500 {
				history[len(history)-1500] = nil // old states are not needed
			}
		}
		for i := range 2000 {
			for range r.IntN(6) {
				set(fmt.Sprint("room", r.IntN(40)), roomCounts(r.Uint32N(3)))
			}
			set(fmt.Sprint("once", i), 1)
			set(fmt.Sprint("once", i-5), 0)
			if changed {
				l.endFlush()
			}
			changed = false
		}
		require.Positive(t, l.removedUpTo) // tombstones were removed
		require.Equal(t, len(now), l.live())
		require.LessOrEqual(t, len(l.rooms), 2*len(now)+2*l.slack)
		require.LessOrEqual(t, l.changes.n, 2*len(l.rooms)+2*l.slack)
		hash := uint64(0)
		for room, p := range now {
			hash += hashRoom(room, p.counts, p.list())
		}
		require.Equal(t, hash, l.hash)

		reply := digestWriter{limit: 600 + r.IntN(2000)}
		for since := range l.seq + 10 {
			if since > 0 && since < l.seq && (history[since] == nil || r.IntN(10) > 0) || since == l.seq {
				continue
			}
			got, last, whole := map[string]roomState{}, since, false
			if since < l.seq {
				got = maps.Clone(history[since])
			}
			encodeSince(l, since, &reply, func(payload []byte) {
				require.LessOrEqual(t, len(payload), reply.limit)
				var d digest
				require.True(t, d.decode(payload))
				if d.reset {
					got, last, whole = map[string]roomState{}, 0, true
				}
				require.Equal(t, last, d.base)
				require.Equal(t, l.seq, d.until)
				last = d.seq
				d.forEach(func(room []byte, p roomCounts, u userUpdate) {
					got[string(room)] = stateOf(p, userList{u.apply([]uint64{1, 2, 3}, 10), u.count})
					if p == 0 {
						delete(got, string(room))
					}
				})
			})
			require.Equal(t, now, got, "since %d of %d", since, l.seq)
			require.Equal(t, l.seq, last)
			require.Equal(t, since == 0 || since < l.removedUpTo || since > l.seq, whole)
		}
	}
}

// roomState is the state of a room at a receiver. It is comparable.
type roomState struct {
	counts roomCounts
	count  uint64
	hashes string
}

func stateOf(counts roomCounts, users userList) roomState {
	return roomState{counts, users.count, string(appendHashes(nil, users.hashes))}
}

func (s roomState) list() []uint64 { return decodeHashes([]byte(s.hashes)) }

// randomUsers returns the sorted hashes of at most 14 users.
func randomUsers(r *rand.Rand) (all []uint64) {
	for i := range uint64(14) {
		if r.IntN(4) == 0 {
			all = append(all, i<<60|i)
		}
	}
	return all
}

// encodeSince encodes a whole reply.
func encodeSince(l *ledger, since uint64, w *digestWriter, emit func(payload []byte)) {
	c := l.begin(since)
	for done := false; !done; {
		var payload []byte
		payload, done = l.next(&c, w)
		emit(payload)
	}
}

// Rooms change between the digests of a reply. A room that is not empty at any time is
// never removed at the receiver.
func TestLedger_ReplyWhileRoomsChange(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		l, w := newLedger(4, 10, func() {}), digestWriter{limit: 500}
		now, got := map[string]roomCounts{}, map[string]roomCounts{}
		change := func(rooms int) {
			for range rooms {
				room, counts := fmt.Sprint("room", r.IntN(60)), roomCounts(r.Uint32N(3))
				if room == "room7" {
					counts = max(counts, 1) // never empty
				}
				if before, _ := l.get(room); before != counts {
					l.put(room, counts, userList{})
					l.endFlush()
				}
				now[room] = counts
				if counts == 0 {
					delete(now, room)
				}
			}
		}
		now["room7"] = 1
		l.put("room7", 1, userList{})
		l.endFlush()
		change(200)
		since := uint64(r.IntN(2)) * uint64(r.IntN(int(l.seq)))
		c := l.begin(since)
		if !c.snapshot { // the receiver has the state of since, which is not known here
			continue
		}
		l.pinned = true
		var s stream
		seen := map[string]bool{}
		for done := false; !done; {
			var payload []byte
			payload, done = l.next(&c, &w)
			var d digest
			require.True(t, d.decode(payload))
			require.Equal(t, apply, s.receive(d.span))
			d.forEach(func(room []byte, p roomCounts, _ userUpdate) {
				got[string(room)], seen[string(room)] = p, true
				if p == 0 {
					delete(got, string(room))
				}
			})
			if s.apply(d.span, 0) {
				require.True(t, seen["room7"], "seed %d: removed by the end of the snapshot", seed)
			}
			if !done && c.base < c.end {
				change(r.IntN(30))
			}
		}
		require.Equal(t, now, got, "seed %d", seed)
	}
}
