package trending

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	require.Eventually(t, func() bool { return len(b.Popular(10)) == 1 && b.Len() == 1 }, time.Minute, time.Millisecond)
}
