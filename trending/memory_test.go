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

// A room takes at most 160 bytes on the board, in addition to its name, which the engine
// shares. The board and the engine release them in the background when the rooms empty.
func TestMemory_OfRooms(t *testing.T) {
	e := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer e.Close()
	const rooms = 30_000
	empty := heapInUse()
	forEachRoom := func(hook func(string) error) {
		t.Helper()
		for i := range rooms {
			if err := hook(fmt.Sprintf("room %d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	forEachRoom(e.Join)
	before := heapInUse()
	b := New(e, WithHalfLife(50*time.Millisecond)) // the histories of empty rooms are kept for a while
	defer b.Close()
	if perRoom := (heapInUse() - before) / rooms; b.Len() != rooms || perRoom < 50 || perRoom > 160 {
		t.Fatalf("%d bytes for each of %d rooms", perRoom, b.Len())
	}
	s := b.Subscribe(Popular, 10)
	defer s.Unsubscribe()
	forEachRoom(e.Leave)
	for deadline := time.Now().Add(time.Minute); b.Len() > 0 || e.Stats().Rooms > 0 || heapInUse()-empty > 1<<20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d rooms and %d bytes still in use", b.Len(), heapInUse()-empty)
		}
	}
}
