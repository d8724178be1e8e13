package cluster_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "run this many simulations")
	simSeed  = flag.Int("sim.seed", -1, "run only the simulation with this seed, and log its events")
)

// After all faults have ended, every node has the exact counts of every room within the
// promised time.
func TestSimulation_CountsAreExactAtEnd(t *testing.T) {
	if *simSeed >= 0 {
		simulate(t, uint64(*simSeed), t.Logf)
		return
	}
	forSeeds(t, *simSeeds, func(t *testing.T, seed uint64) { simulate(t, seed, nil) })
}

// This simulation also tests engines with an interval: changes that are undone within the
// interval are not published. The other simulations have no interval, because simulations
// with an interval are not reproducible.
func TestSimulation_CountsAreExactAtEnd_WithInterval(t *testing.T) {
	forSeeds(t, 80, func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(seed, nil, nil)
			s.interval = 100 * time.Millisecond
			if err := s.run(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	})
}

// Two simulations with the same seed publish the same messages at the same times.
func TestSimulation_RepeatsExactly(t *testing.T) {
	forSeeds(t, 16, func(t *testing.T, seed uint64) {
		var traces [3]uint64
		for i := range traces {
			traces[i] = simulate(t, seed, nil)
		}
		if traces[0] != traces[1] || traces[0] != traces[2] {
			t.Errorf("seed %d: traces differ: %x", seed, traces)
		}
	})
}

// forSeeds runs f for the seeds 0 to n-1. Several goroutines run f in parallel.
func forSeeds(t *testing.T, n int, f func(t *testing.T, seed uint64)) {
	const workers = 4
	for w := range workers {
		t.Run(fmt.Sprint("worker", w), func(t *testing.T) {
			t.Parallel()
			for seed := w; seed < n && !t.Failed(); seed += workers {
				f(t, uint64(seed))
			}
		})
	}
}

// simulate runs one simulation, which must succeed, and returns the hash of all published
// messages.
func simulate(t *testing.T, seed uint64, logf func(string, ...any)) (trace uint64) {
	t.Helper()
	trace, err := simulation(t, seed, logf, nil)
	if err != nil {
		t.Errorf("seed %d: %v\nreplay: go test -run 'TestSimulation_CountsAreExactAtEnd$' -sim.seed %[1]d .", seed, err)
	}
	return trace
}

func simulation(t *testing.T, seed uint64, logf func(string, ...any), opts []cluster.Option) (trace uint64, err error) {
	synctest.Test(t, func(*testing.T) {
		s := newSim(seed, logf, opts)
		err = s.run()
		trace = s.trace()
	})
	return trace, err
}

// Every rule of the protocol is necessary: if it is disabled, a simulation fails. The
// exception is ruleLossy. Without ruleLossy, heartbeats detect lost messages later.
// TestLossy_RequestsSyncAtOnce tests this rule.
func TestSimulation_FailsWithoutEachRule(t *testing.T) {
	const maxSeeds = 500
	for _, c := range []struct {
		name string
		rule cluster.Option
		seed uint64 // the seed of a simulation that fails; this seed is tried first
	}{
		{"ruleDuplicate", cluster.WithoutRule(cluster.RuleDuplicate), 32},
		{"ruleGap", cluster.WithoutRule(cluster.RuleGap), 0},
		{"ruleHeartbeatSeq", cluster.WithoutRule(cluster.RuleHeartbeatSeq), 1},
		{"ruleHeartbeatHash", cluster.WithoutRule(cluster.RuleHeartbeatHash), 2},
		{"ruleSyncLimit", cluster.WithoutRule(cluster.RuleSyncLimit), 0},
		{"ruleLease", cluster.WithoutRule(cluster.RuleLease), 2},
		{"ruleOwnOutage", cluster.WithoutRule(cluster.RuleOwnOutage), 2},
		{"ruleNewIncarnation", cluster.WithoutRule(cluster.RuleNewIncarnation), 13},
		{"ruleMassLoss", cluster.WithoutRule(cluster.RuleMassLoss), 321},
		{"ruleBye", cluster.WithoutRule(cluster.RuleBye), 34},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(maxSeeds) {
				seed := (c.seed + seed) % maxSeeds
				if _, err := simulation(t, seed, nil, []cluster.Option{c.rule}); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("none of %d simulations fails", maxSeeds)
		})
	}
}
