package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// The simulations' engines have no interval, so that they repeat exactly. As engines are
// by default, all ends exact as well: what undoes itself within an interval is not told.
func TestSimulation_EndsExactWithAnInterval(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(seed, nil, nil)
			s.interval = 100 * time.Millisecond
			if err := s.run(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
}
