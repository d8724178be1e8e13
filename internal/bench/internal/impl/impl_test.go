package impl

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// forEachCounter calls f with a new instance of every implementation that counts.
func forEachCounter(t *testing.T, f func(*testing.T, Spec, Counter)) {
	for _, s := range All {
		if s.NewCounter != nil {
			t.Run(s.Name, func(t *testing.T) {
				c := s.NewCounter()
				defer c.Close()
				f(t, s, c)
			})
		}
	}
}

// forEachNotifier calls f with a new instance of every implementation that sends events.
func forEachNotifier(t *testing.T, f func(*testing.T, Notifier)) {
	for _, s := range All {
		if s.NewNotifier != nil {
			t.Run(s.Name, func(t *testing.T) {
				n := s.NewNotifier()
				defer n.Close()
				f(t, n)
			})
		}
	}
}

func TestCounter_CountsConnections(t *testing.T) {
	forEachCounter(t, func(t *testing.T, _ Spec, counter Counter) {
		require.Zero(t, counter.Count("a"))
		a, b, c := NewConn(1), NewConn(2), NewConn(3)
		counter.Join("a", a)
		counter.Join("a", b)
		counter.Join("b", c)
		require.Equal(t, []int{2, 1, 0}, []int{counter.Count("a"), counter.Count("b"), counter.Count("c")})
		counter.Leave("a", a)
		counter.Leave("b", c)
		require.Equal(t, []int{1, 0}, []int{counter.Count("a"), counter.Count("b")})
		counter.Leave("a", b)
		require.Zero(t, counter.Count("a"))
		counter.Join("a", a)
		require.Equal(t, 1, counter.Count("a"), "after the room was empty")
	})
}

func TestCounter_ConcurrentChanges(t *testing.T) {
	forEachCounter(t, func(t *testing.T, _ Spec, c Counter) { changeConcurrently(t, c, 1) })
}

func TestCounter_ConcurrentChangesOfRoomsThatEmpty(t *testing.T) {
	forEachCounter(t, func(t *testing.T, s Spec, c Counter) {
		if !s.LosesJoins {
			changeConcurrently(t, c, 0)
		}
	})
}

// changeConcurrently makes goroutines join and leave three rooms. In each room, a number of
// other connections, the residents, stay. At the end half of the goroutines join the first
// room.
func changeConcurrently(t *testing.T, c Counter, residents int) {
	const goroutines, rounds = 8, 300
	rooms := []string{"a", "b", "c"}
	for i, room := range rooms {
		for r := range residents {
			c.Join(room, NewConn(1000+i*residents+r))
		}
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			conn := NewConn(g)
			for i := range rounds {
				room := rooms[(g+i)%len(rooms)]
				c.Join(room, conn)
				c.Leave(room, conn)
			}
			if g%2 == 0 {
				c.Join(rooms[0], conn)
			}
		})
	}
	wg.Wait()
	require.Equal(t, residents+goroutines/2, c.Count(rooms[0]))
	require.Equal(t, residents, c.Count(rooms[1]))
	require.Equal(t, residents, c.Count(rooms[2]))
}

// The note of socket.io says that a Join can be lost. The test makes this happen without a
// data race: a second member joins and leaves the room between two steps of a Join.
func TestSocketIO_LosesJoinWhenRoomEmpties(t *testing.T) {
	spec, _ := ByName("socket.io")
	require.True(t, spec.LosesJoins)
	s := spec.NewCounter().(socketIO)
	defer s.Close()
	must(s.adapter.Once("create-room", func(...any) {
		other := socketio.SocketId("other")
		s.adapter.AddAll(other, types.NewSet[socketio.Room]("a"))
		s.adapter.Del(other, "a")
	}))
	s.Join("a", NewConn(1))
	require.Zero(t, s.Count("a"), "if the count is 1, the note and LosesJoins are out of date")
}

func TestNotifier_SendsEachCount(t *testing.T) {
	forEachNotifier(t, func(t *testing.T, n Notifier) {
		var subscriptions []Subscription
		for range 3 {
			subscriptions = append(subscriptions, n.Subscribe("a"))
		}
		delivered := n.Delivered()
		wantDelivered := func(more int) {
			delivered += uint64(more)
			require.Eventually(t, func() bool { return n.Delivered() == delivered }, 10*time.Second, time.Millisecond)
		}
		wantNext := func(count int) {
			for _, s := range subscriptions {
				require.Equal(t, count, s.Next())
			}
			wantDelivered(len(subscriptions))
		}
		a, b := NewConn(1), NewConn(2)
		n.Join("a", a)
		wantNext(1)
		n.Join("a", b)
		wantNext(2)
		n.Leave("a", a)
		wantNext(1)
		n.Leave("a", b)
		wantNext(0)
		n.Join("a", a)
		wantDelivered(3)
		for _, s := range subscriptions {
			s.Drain() // discards the event
			s.Drain() // has nothing to discard
		}
		n.Join("a", b)
		wantNext(2)
	})
}

func TestWatchable_ReportsLastCountOfEveryRoom(t *testing.T) {
	forEachCounter(t, func(t *testing.T, s Spec, c Counter) {
		w, ok := c.(Watchable)
		require.Equal(t, s.Watchable, ok)
		if !ok {
			return
		}
		var counts sync.Map
		w.Watch(func(room string, count int) { counts.Store(room, count) })
		changeConcurrently(t, c, 1)
		for _, room := range []string{"a", "b", "c"} {
			require.Eventually(t, func() bool {
				count, ok := counts.Load(room)
				return ok && count == c.Count(room)
			}, 10*time.Second, time.Millisecond)
		}
	})
}

func TestAll_NamesAreUnique(t *testing.T) {
	require.Equal(t, Engine, All[0].Name)
	seen := map[string]bool{}
	for _, s := range All {
		require.False(t, seen[s.Name], s.Name)
		seen[s.Name] = true
		got, ok := ByName(s.Name)
		require.True(t, ok)
		require.Equal(t, s.Note, got.Note)
	}
	_, ok := ByName("unknown")
	require.False(t, ok)
}
