package trending

import (
	"testing"
	"testing/synctest"

	"github.com/occupancy/occupancy"
)

// One that began and ended within an interval, and was found in between, is never told:
// New must not wait for it.
func TestABoardDoesNotWaitForARoomThatEndedUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New()
		defer e.Close()
		b := New(e)
		defer b.Close()
		found := map[string]struct{}{"ended": {}}
		if !b.seat(found) || len(found) != 0 || b.Len() != 0 {
			t.Fatalf("%v, %d rooms", found, b.Len())
		}
	})
}
