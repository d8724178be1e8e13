package trending

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestMemory_ReleasedWhenRoomsEmpty(t *testing.T) {
	e := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer e.Close()
	b := New(e)
	defer b.Close()
	s := b.Subscribe(Popular, 10)
	defer s.Unsubscribe()
	waitForRooms := func(rooms int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); b.Len() != rooms || e.Stats().Rooms != rooms; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d rooms, want %d", b.Len(), rooms)
			}
		}
	}
	const rooms = 100_000
	before := heapInUse()
	forEachRoom := func(hook func(string) error) {
		t.Helper()
		for i := range rooms {
			if err := hook(fmt.Sprintf("room %d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	forEachRoom(e.Join)
	waitForRooms(rooms)
	if full := heapInUse() - before; full < rooms*50 {
		t.Fatalf("%d bytes for %d rooms", full, rooms)
	}
	forEachRoom(e.Leave)
	waitForRooms(0)
	// The engine and the board release their last rooms in the background.
	const limit = 1 << 20
	for deadline := time.Now().Add(time.Minute); heapInUse()-before > limit; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes still in use", heapInUse()-before)
		}
	}
}
