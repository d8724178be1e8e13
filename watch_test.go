package occupancy

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A watcher that waits is woken once for the changes that it has to return, and never for
// others.
func TestWatcher_IsWokenOnlyByRoomsThatItReturns(t *testing.T) {
	for name, open := range map[string]func(*Engine, *Link) (*Watcher, error){
		"prefix":   func(e *Engine, _ *Link) (*Watcher, error) { return e.Watch(WithPrefix("own")) },
		"selected": func(e *Engine, _ *Link) (*Watcher, error) { return e.Watch(Rooms("own", "own too")) },
		"local":    func(_ *Engine, l *Link) (*Watcher, error) { return l.Watch() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				defer e.Close()
				link, err := e.Link(nil)
				require.NoError(t, err)
				node := link.Remote("node")
				all, err := e.Watch()
				require.NoError(t, err)
				w, err := open(e, link)
				require.NoError(t, err)
				woken := func(want int, when string) {
					t.Helper()
					time.Sleep(time.Second)
					require.Len(t, w.wake, want, when)
				}
				waits := func() bool {
					e.pub.mu.Lock()
					defer e.pub.mu.Unlock()
					return slices.Contains(e.pub.sleepers, w)
				}
				changes := 0
				other := func() {
					t.Helper()
					drain(t, all) // so that it waits, too
					changes++
					if name != "local" {
						require.NoError(t, e.Join("other"))
					}
					require.NoError(t, node.Set(Part{"other", Occupancy{Connections: changes}}))
				}
				drain(t, w) // from here on it waits
				require.True(t, waits())
				other()
				woken(0, "another room")
				require.NoError(t, e.Join("own"))
				require.NoError(t, e.Join("own too"))
				woken(1, "two rooms of its own")
				require.False(t, waits())
				require.NoError(t, e.Join("own"))
				woken(1, "it is awake")
				require.Len(t, drain(t, w), 2)
				woken(0, "nothing is left to read")
				other()
				woken(0, "another room, later")
				require.NoError(t, e.Leave("own"))
				woken(1, "a room of its own, later")
			})
		})
	}
}

// A hook may have created the cell of a room that has no version yet.
func TestWatcher_VersionOfSelectedRoomNeverDecreases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w, err := e.Watch(Rooms("room"))
		require.NoError(t, err)
		last := uint64(0)
		read := func(want Occupancy) {
			t.Helper()
			events := drain(t, w)
			require.Len(t, events, 1)
			require.Equal(t, RoomEvent{"room", Event{EventUpdated, want, events[0].Version}}, events[0])
			require.GreaterOrEqual(t, events[0].Version, last)
			last = events[0].Version
		}
		settle := func() { time.Sleep(time.Second) }
		read(Occupancy{})
		for range 3 {
			require.NoError(t, e.Join("room"))
			settle()
			read(Occupancy{1, 0})
			require.NoError(t, e.Leave("room"))
			settle()
			require.Nil(t, e.rooms.live("room"))
			read(Occupancy{})

			_, err := e.rooms.obtain("room")
			require.NoError(t, err)
			require.NoError(t, w.Add("room"))
			read(Occupancy{})

			s, err := e.Subscribe("room")
			require.NoError(t, err)
			require.NoError(t, e.Join("another")) // the number of publications grows
			settle()
			require.NoError(t, w.Add("room"))
			read(Occupancy{})
			require.NoError(t, e.Join("room"))
			settle()
			read(Occupancy{1, 0})
			require.NoError(t, e.Leave("room"))
			settle()
			read(Occupancy{})
			s.Unsubscribe()
			settle()
		}
	})
}

// The rooms that Add publishes early are returned by the other watchers at once, too.
func TestWatcher_AddPublishesToOtherWatchersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		all, err := e.Watch()
		require.NoError(t, err)
		defer all.Close()
		require.NoError(t, e.Join("room"))
		synctest.Wait()
		require.Len(t, drain(t, all), 1)
		require.NoError(t, e.Join("room")) // until the end of the interval
		synctest.Wait()
		require.Empty(t, drain(t, all))

		began := time.Now()
		got := make(chan []RoomEvent)
		go func() {
			events, _ := all.Next(context.Background())
			got <- events
		}()
		synctest.Wait()
		w, err := e.Watch(Rooms("room"))
		require.NoError(t, err)
		defer w.Close()
		require.Equal(t, Occupancy{2, 0}, (<-got)[0].Occupancy)
		require.Zero(t, time.Since(began))
	})
}

func TestWatcher_OfSelectedRoomsCreatesNoCell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w, err := e.Watch(Rooms("a", "b"))
		require.NoError(t, err)
		require.NoError(t, w.Add("c"))
		require.Len(t, drain(t, w), 3)
		require.NoError(t, e.Join("a"))
		require.NoError(t, e.Leave("a"))
		time.Sleep(time.Second)
		w.Remove("b")
		wantNothingKept(t, e)
		require.NoError(t, w.Close())
		require.Empty(t, e.pub.selected)
	})
}
