package trending

import (
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

// Sending lists to many subscribers takes time. Readers and updates of the board must not
// wait until all lists are sent.
func TestReaders_DoNotWaitForPublish(t *testing.T) {
	e := occupancy.New(occupancy.WithInterval(0))
	defer e.Close()
	b := New(e, WithWarmup(0))
	defer b.Close()
	defer b.Subscribe(Popular, 10).Unsubscribe()

	b.listsMu.Lock() // as publish does
	defer b.listsMu.Unlock()
	if err := e.Join("room"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(b.Popular(10)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the room is not on the board after 30s")
		}
	}
	if b.Len() != 1 {
		t.Fatalf("%d rooms", b.Len())
	}
}
