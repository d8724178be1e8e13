package promises_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestConnect_MaxRefusesAFullRoom(t *testing.T) {
	for _, opts := range [][]occupancy.Option{nil, {occupancy.WithUsers()}} {
		e := occupancy.New(opts...)
		var leases []*occupancy.Lease
		for range 3 {
			l, err := e.Connect("room", occupancy.Max(3), occupancy.As("ann"))
			require.NoError(t, err)
			leases = append(leases, l)
		}
		before := e.Current("room")
		for range 2 {
			_, err := e.Connect("room", occupancy.As("bob"), occupancy.Max(3))
			require.ErrorIs(t, err, occupancy.ErrRoomFull)
		}
		for _, opts := range [][]occupancy.ConnectOption{{occupancy.Max(5), occupancy.Max(2)}, {occupancy.Max(2), occupancy.Max(5)}} {
			_, err := e.Room("room").Connect(opts...)
			require.ErrorIs(t, err, occupancy.ErrRoomFull)
		}
		require.Equal(t, before, e.Current("room"))
		for _, most := range []int{0, -1} {
			_, err := e.Connect("empty", occupancy.Max(most))
			require.ErrorIs(t, err, occupancy.ErrRoomFull)
		}
		require.Equal(t, occupancy.Refused{RoomFull: 6}, e.Stats().Refused)
		require.NoError(t, leases[0].Close())
		link, err := e.Link(nil)
		require.NoError(t, err)
		remote := link.Remote("node")
		require.NoError(t, remote.Set(occupancy.Part{Room: "room", Occupancy: counts(1, 0, 0)}))
		_, err = e.Connect("room", occupancy.Max(3))
		require.ErrorIs(t, err, occupancy.ErrRoomFull, "connections of other nodes count, too")
		require.NoError(t, remote.Close())
		_, err = e.Connect("room", occupancy.Max(3))
		require.NoError(t, err)
		require.NoError(t, e.Close())
	}
}

// At no time does the room have more connections than Max allows, and no Connect is refused
// while a place was free throughout.
func TestConnect_MaxIsExactUnderConcurrency(t *testing.T) {
	const callers, most, attempts = 16, 10, 20_000
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	var refused atomic.Int64
	run := func(callers int) {
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for range attempts {
					l, err := e.Connect("room", occupancy.Max(most), occupancy.As(fmt.Sprint("client", i)))
					if now := e.Current("room"); now.Connections > most {
						panic(fmt.Sprint(now))
					}
					if err != nil {
						refused.Add(1)
						continue
					}
					_ = l.Close()
				}
			})
		}
		wg.Wait()
		require.Zero(t, e.Current("room"))
	}
	run(most)
	require.Zero(t, refused.Load(), "a place was free for each")
	run(callers)
}
