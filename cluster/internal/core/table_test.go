package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// A table has the same rooms as a simple model, for random digests, snapshots and refusals.
// The model is a map.
func TestTable_MatchesModel(t *testing.T) {
	const maxRooms, maxCount, names = 30, 50, 90
	refusals, overLimit := 0, 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		e := occupancy.New(occupancy.WithMaxRooms(25))
		l, err := e.Link(nil)
		require.NoError(t, err)
		p := &table{cfg: &Config{MaxRooms: maxRooms, MaxCount: maxCount, MaxUsers: 20, Yield: func() {}}, batch: new(batch), accepted: l.Remote("p")}
		claims, users := map[string]roomCounts{}, map[string][]uint64{}
		var stale map[string]bool // nil while no snapshot is received
		for range 300 {
			switch {
			case stale == nil && r.IntN(10) == 0:
				p.beginSnapshot()
				stale = map[string]bool{}
				for room := range claims {
					stale[room] = true
				}
			case stale != nil && r.IntN(5) == 0:
				p.endSnapshot()
				maps.DeleteFunc(claims, func(room string, _ roomCounts) bool { return stale[room] })
				maps.DeleteFunc(users, func(room string, _ []uint64) bool { return stale[room] })
				stale = nil
			case r.IntN(5) == 0:
				p.retryRefused()
			}
			for range r.IntN(40) { // a digest, which may contain a room twice
				room := fmt.Sprint(r.IntN(names))
				now := roomCounts(r.IntN(maxCount+5))<<32 | roomCounts(r.IntN(maxCount+5))
				if r.IntN(3) == 0 {
					now = 0
				}
				if _, ok := claims[room]; now != 0 && (!ok || stale[room]) {
					if len(claims)-len(stale) >= maxRooms || !ok && len(claims) >= 2*maxRooms {
						overLimit++
						p.set([]byte(room), now, userUpdate{})
						continue
					}
				}
				all := randomUsers(r)
				u := userUpdate{whole: true, added: appendHashes(nil, all)}
				if r.IntN(2) == 0 {
					added, removed := diffUsers(users[room], all)
					u = userUpdate{added: appendHashes(nil, added), removed: appendHashes(nil, removed)}
				}
				p.set([]byte(room), now, u)
				delete(stale, room)
				claims[room], users[room] = now, all
				if now.members() == 0 {
					delete(users, room)
				}
				if now == 0 {
					delete(claims, room)
				}
			}
			p.applyBatch()

			hash := uint64(0)
			for room, now := range claims {
				hash += hashRoom(room, now, users[room])
				accepted := e.Current(room)
				refused, ok := p.refused[room]
				if ok != (accepted != now.occupancy()) || ok && toRoomCounts(refused.Occupancy) != now || p.valid(now) != (p.last(room) == now) {
					t.Fatalf("seed %d: room %s is %x, accepted %v, refused %v", seed, room, now, accepted, refused)
				}
			}
			require.Equal(t, hash, p.hash, "seed %d", seed)
			require.Equal(t, len(claims), p.rooms)
			require.Equal(t, len(stale), len(p.stale))
			for part := range p.accepted.All() {
				if claims[part.Room] == 0 {
					t.Fatalf("seed %d: room %s remains", seed, part.Room)
				}
			}
			refusals += len(p.refused)
		}
		for room := range claims {
			p.set([]byte(room), 0, userUpdate{})
		}
		p.applyBatch()
		require.Nil(t, p.refused) // its memory is released
		require.Zero(t, p.rooms)
		require.Zero(t, p.hash)
		require.NoError(t, e.Close())
	}
	require.Positive(t, refusals)
	require.Positive(t, overLimit)
}

func TestTable_RoomTakesAtMost50Bytes(t *testing.T) {
	for _, rooms := range []int{20_000, 30_000} {
		second, _ := measureMemory(rooms)
		require.Positive(t, second)
		require.LessOrEqual(t, second, 50.0, "%d rooms", rooms)
	}
}

// A room with members, in which a node is only interested, is malformed. It does not change the
// hash of the other counts.
func TestTable_InterestWithMembers(t *testing.T) {
	for _, role := range []Role{Mesh, Aggregator} {
		p := &table{cfg: &Config{Role: role, MaxRooms: 10, MaxCount: 10, Yield: func() {}}, batch: new(batch), accepted: newKeptCounts()}
		p.set([]byte("a"), interestOnly|1, userUpdate{})
		p.applyBatch()
		p.set([]byte("a"), 1, userUpdate{})
		p.applyBatch()
		require.Equal(t, hashRoom("a", 1, nil), p.hash, "role %d", role)
	}
}
