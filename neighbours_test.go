package occupancy_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// What one listener does to another.

func TestPromise4_ASubscribeDoesNotShortenTheIntervalOfWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New()
		defer e.Close()
		w := e.Watch()
		defer w.Close()
		require.NoError(t, e.Join("room"))
		_, err := w.Next(t.Context()) // at 0
		require.NoError(t, err)
		begun := time.Now()
		time.Sleep(20 * time.Millisecond)
		s, err := e.Subscribe("room")
		require.NoError(t, err)
		defer s.Unsubscribe()
		require.NoError(t, e.Join("room"))
		_, err = w.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, 100*time.Millisecond, time.Since(begun))
	})
}

func TestPromise7_RoomsThatNobodyListensToAreForgottenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New(occupancy.WithInterval(24*time.Hour), occupancy.WithMaxRooms(1))
		defer e.Close()
		for i := range 1000 {
			require.NoError(t, e.Join(fmt.Sprint(i)))
			require.NoError(t, e.Leave(fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		require.Zero(t, occupancy.Cells(e))
		require.Zero(t, e.Stats().Connections)
	})
}

// A watcher that never read, and leaves a crowd of emptied rooms behind, keeps nobody
// waiting until they are dropped. A small crowd may be gone before the scheduler lets
// anybody else in, so it grows until somebody got in midway.
func TestPromise5_AWatcherThatGivesUpLetsOthersIn(t *testing.T) {
	for rooms := 20_000; !getsInMidway(t, rooms); rooms *= 2 {
		require.Less(t, rooms, 1_000_000, "no Subscribe got in while the rooms were dropped")
	}
}

func getsInMidway(t *testing.T, rooms int) (midway bool) {
	e := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer e.Close()
	w := e.Watch()
	for i := range rooms {
		require.NoError(t, e.Join(fmt.Sprint(i)))
	}
	for i := range rooms {
		require.NoError(t, e.Leave(fmt.Sprint(i)))
	}
	for e.Stats().Connections > 0 || !occupancy.Settled(e) { // so that nobody but Close drops them
		runtime.Gosched()
	}
	require.Equal(t, rooms, occupancy.Cells(e), "kept until the watcher has read their end")
	closed := make(chan struct{})
	go func() { w.Close(); close(closed) }()
	for done := false; !done; {
		before := occupancy.Cells(e)
		s, err := e.Subscribe("another")
		require.NoError(t, err)
		midway = midway || before < rooms && occupancy.Cells(e) > 1 // its own
		s.Unsubscribe()
		select {
		case <-closed:
			done = true
		default:
		}
	}
	require.Eventually(t, func() bool { return occupancy.Cells(e) == 0 }, 10*time.Second, time.Millisecond)
	return midway
}
