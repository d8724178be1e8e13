package occupancy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
)

// Promise 4: a connection that moves from one node to another changes no total, so
// it is no event, and delays none.
func TestFirstChangeAfterQuietIsToldAtOnceThoughConnectionsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New(occupancy.WithInterval(100 * time.Millisecond))
		defer e.Close()
		peer := e.Remote("peer")
		_ = peer.Set("room", occupancy.Occupancy{Connections: 1})
		s, _ := e.Subscribe("room")
		<-s.Events()
		_ = e.Join("room")
		synctest.Wait()
		<-s.Events() // at 0ms: 2
		time.Sleep(50 * time.Millisecond)
		_ = e.Join("room")
		_ = peer.Set("room", occupancy.Occupancy{}) // at 50ms: still 2
		time.Sleep(110 * time.Millisecond)
		_ = e.Join("room") // at 160ms
		synctest.Wait()
		select {
		case got := <-s.Events():
			if got.Occupancy.Connections != 3 {
				t.Errorf("told %+v", got)
			}
		default:
			t.Error("not told at once, though nothing was told for 160ms and nothing changed for 110ms")
		}
	})
}
