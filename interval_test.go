package occupancy_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
)

// An interval that ends after the end of time is a long one, not none.
func TestAnIntervalMayBeAsLongAsADurationCanBe(t *testing.T) {
	for _, interval := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, 200 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			e := occupancy.New(occupancy.WithInterval(interval))
			defer e.Close()
			time.Sleep(time.Hour)
			sub, err := e.Subscribe("a")
			if err != nil {
				t.Fatal(err)
			}
			<-sub.Events()
			for n := range 3 {
				if err := e.Join("a"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if told, want := len(sub.Events()), max(0, 1-n); told != want {
					t.Errorf("change %d with an interval of %v: told %d, not %d", n, interval, told, want)
				}
				for range len(sub.Events()) {
					<-sub.Events()
				}
			}
		})
	}
}
