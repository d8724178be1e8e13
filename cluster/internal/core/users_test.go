package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestMergeUsers_MatchesSets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		set := func() (all []uint64) {
			for i := range uint64(12) {
				if r.IntN(3) == 0 {
					all = append(all, i)
				}
			}
			return all
		}
		old, now := set(), set()
		added, removed := diffUsers(old, now)
		require.Equal(t, len(now), len(mergeUsers(old, added, removed)))
		require.True(t, slices.Equal(now, mergeUsers(old, added, removed)))
		// The same change again, and garbage, do not matter.
		require.True(t, slices.Equal(now, mergeUsers(now, added, removed)))
		u := userUpdate{added: appendHashes(nil, []uint64{9, 1, 9}), removed: appendHashes(nil, []uint64{1, 1})}
		got := u.apply(old, 3)
		require.LessOrEqual(t, len(got), 3)
		require.True(t, slices.IsSorted(got))
		require.Len(t, slices.Compact(slices.Clone(got)), len(got))
		require.Equal(t, now, userUpdate{}.apply(now, 100))
	}
}

// A receiver gets the flushes and replies of a sender in any order, some of them never and some
// of them twice. Whenever it has all changes up to a seq, its rooms are those of the sender at
// that seq.
func TestStream_UsersAreExactInAnyOrder(t *testing.T) {
	complete := 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		m := New(Config{FlushSize: 800, MaxUsers: 6, TombstoneSlack: r.IntN(4), Yield: func() {}})
		history := map[uint64]map[string]roomState{0: {}}
		users := map[string][]uint64{}
		var network [][]byte
		change := func() {
			var changes []Change
			for range 1 + r.IntN(3) {
				room, now := fmt.Sprint("room", r.IntN(6)), []uint64{}
				for h := range uint64(9) {
					if r.IntN(3) == 0 {
						now = append(now, h)
					}
				}
				if r.IntN(6) == 0 {
					now = nil
				}
				c := Change{RoomEvent: occupancy.RoomEvent{Room: room}}
				c.Occupancy.PresenceMembers = len(now)
				c.Entered, c.Exited = diffUsers(users[room], now)
				users[room] = now
				changes = append(changes, c)
			}
			m.Change(changes, 0)
			state := map[string]roomState{}
			for room, rec := range m.rooms {
				if counts, u := m.get(room); rec.counts != 0 {
					state[room] = stateOf(counts, u)
				}
			}
			history[m.seq] = state
			for _, msg := range m.messages {
				network = append(network, msg.Payload)
			}
			m.messages = nil
		}
		var s stream
		got, stale := map[string]roomState{}, map[string]roomState{}
		w := digestWriter{limit: 450}
		var c *cursor
		for range 400 {
			switch k := r.IntN(10); {
			case k < 2:
				change()
			case k < 5 && (c != nil || s.behind() && s.applied < m.seq):
				if c == nil {
					since := s.applied
					if s.needsSnapshot {
						since = 0
					}
					begun := m.begin(since)
					c, m.pinned = &begun, true
				}
				payload, done := m.next(c, &w)
				network = append(network, payload)
				if done {
					c, m.pinned = nil, false
				}
			case len(network) > 0:
				i := r.IntN(min(len(network), 4))
				payload := network[i]
				if r.IntN(8) > 0 {
					network = slices.Delete(network, i, i+1)
				}
				if r.IntN(8) == 0 {
					break // lost
				}
				var d digest
				require.True(t, d.decode(payload))
				if s.receive(d.span) != apply {
					break
				}
				if d.reset {
					stale = maps.Clone(got)
				}
				d.forEach(func(room []byte, p roomCounts, u userUpdate) {
					hashes := u.apply(got[string(room)].list(), 6)
					if p.members() == 0 {
						hashes = nil
					}
					got[string(room)] = stateOf(p, userList{hashes, u.count})
					delete(stale, string(room))
				})
				if s.apply(d.span, 0) {
					maps.DeleteFunc(got, func(room string, _ roomState) bool { _, ok := stale[room]; return ok })
				}
				maps.DeleteFunc(got, func(_ string, state roomState) bool { return state.counts == 0 })
				want, known := history[s.applied]
				if known && s.applied >= s.until && s.snapshotEnd == 0 && !s.needsSnapshot {
					complete++
					require.Equal(t, want, got, "seed %d, seq %d", seed, s.applied)
				}
			}
		}
	}
	require.Greater(t, complete, 1000)
}

// The number of users changes, but neither the counts nor the published users.
func TestChange_PublishesNumberOfUsers(t *testing.T) {
	m := New(Config{FlushSize: 800, MaxUsers: 2, Yield: func() {}})
	c := Change{RoomEvent: occupancy.RoomEvent{Room: "room"}, Entered: []uint64{1, 2, 3}}
	c.Occupancy.PresenceMembers = 3
	m.Change([]Change{c}, 0)
	require.Len(t, m.messages, 1)
	c.Entered, c.Exited = nil, []uint64{3}
	m.Change([]Change{c}, 0)
	require.Len(t, m.messages, 2)
}
