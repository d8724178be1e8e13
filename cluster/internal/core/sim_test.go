package core

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

var (
	simSeeds = flag.Int("sim.seeds", 200, "run this many simulations of each kind")
	simFirst = flag.Int("sim.first", 0, "the first seed")
	simSeed  = flag.Int("sim.seed", -1, "run only the simulation with this seed, and log its events")
)

// After all faults have ended, every node has the exact counts of every room within the
// promised time.
func TestSimulation_CountsAreExactAtEnd(t *testing.T) {
	simulateAll(t, newSim, *simSeeds)
}

// After all faults have ended, every client has the exact counts of every room in which it is
// interested within the promised time. Afterwards, no count of a client changes when an
// aggregator starts or ends.
func TestSimulation_Aggregators_CountsAreExactAtEnd(t *testing.T) {
	simulateAll(t, newAggregatorSim, *simSeeds)
}

// simulateAll runs the simulations that the flags choose.
func simulateAll(t *testing.T, newSim newSimFunc, seeds int) {
	if *simSeed >= 0 {
		simulate(t, newSim, uint64(*simSeed), t.Logf)
		return
	}
	const workers = 4
	for w := range workers {
		t.Run(fmt.Sprint("worker", w), func(t *testing.T) {
			t.Parallel()
			for seed := *simFirst + w; seed < *simFirst+seeds && !t.Failed(); seed += workers {
				simulate(t, newSim, uint64(seed), nil)
			}
		})
	}
}

// Two simulations with the same seed publish the same messages at the same times.
func TestSimulation_RepeatsExactly(t *testing.T) {
	for _, newSim := range []newSimFunc{newSim, newAggregatorSim} {
		for seed := range uint64(20) {
			if first, second := simulate(t, newSim, seed, nil), simulate(t, newSim, seed, nil); first != second {
				t.Errorf("seed %d: traces differ: %x, %x", seed, first, second)
			}
		}
	}
}

// newSimFunc is newSim or newAggregatorSim.
type newSimFunc func(seed uint64, logf func(string, ...any)) *sim

// simulate runs one simulation, which must succeed, and returns the hash of all published
// messages.
func simulate(t *testing.T, newSim newSimFunc, seed uint64, logf func(string, ...any)) (trace uint64) {
	t.Helper()
	s := newSim(seed, logf)
	if err := s.run(); err != nil {
		t.Errorf("seed %d: %v\nreplay: go test -v -run '%s$' -sim.seed %[1]d .", seed, err, strings.Split(t.Name(), "/")[0])
	}
	return s.trace
}
