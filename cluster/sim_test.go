package cluster_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/occupancy/occupancy/cluster"
)

var (
	simSeeds = flag.Int("sim.seeds", 500, "how many simulations")
	simSeed  = flag.Int("sim.seed", -1, "the one simulation to replay")
)

// Whatever befell the nodes: after it stops, every node has every room's true sum within
// the time that the package promises.
func TestSimulation_EndsExact(t *testing.T) {
	if *simSeed >= 0 {
		simulate(t, uint64(*simSeed), t.Logf, nil)
		return
	}
	const workers = 4
	for w := range workers {
		t.Run(fmt.Sprint("worker", w), func(t *testing.T) {
			t.Parallel()
			for seed := w; seed < *simSeeds && !t.Failed(); seed += workers {
				simulate(t, uint64(seed), nil, nil)
			}
		})
	}
}

// A seed tells all: the same messages at the same times.
func TestSimulation_RepeatsExactly(t *testing.T) {
	for seed := range uint64(20) {
		var traces [3]uint64
		for i := range traces {
			traces[i] = simulate(t, seed, nil, nil)
		}
		if traces[0] != traces[1] || traces[0] != traces[2] {
			t.Errorf("seed %d: traces differ: %x", seed, traces)
		}
	}
}

// simulate runs one simulation, which must end well, and returns the hash of all that
// was published.
func simulate(t *testing.T, seed uint64, logf func(string, ...any), opts []cluster.Option) (trace uint64) {
	t.Helper()
	trace, err := simulation(t, seed, logf, opts)
	if err != nil {
		t.Errorf("seed %d: %v\nreplay: go test -run 'TestSimulation_EndsExact$' -sim.seed %[1]d .", seed, err)
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

// Each rule is there for a reason: without it some simulation ends otherwise. But one is
// not here: what a slow consumer lost is found by heartbeats, too, if later, as
// TestLife_ASlowConsumerAsksAtOnce shows.
func TestSimulation_FindsEveryRuleMissing(t *testing.T) {
	const patience = 500 // how many simulations it may take
	for name, rule := range map[string]cluster.Option{
		"a digest that is not newer is dropped":              cluster.Without(cluster.RuleDuplicate),
		"one that leaves a gap is not applied":               cluster.Without(cluster.RuleGap),
		"a heartbeat of another seq has a sync":              cluster.Without(cluster.RuleHeartbeatSeq),
		"one of another hash has a full resync":              cluster.Without(cluster.RuleHeartbeatHash),
		"one sync for each peer and second":                  cluster.Without(cluster.RuleSyncLimit),
		"a lease ends":                                       cluster.Without(cluster.RuleLease),
		"but not while this node may be the one who is gone": cluster.Without(cluster.RuleSelfDoubt),
		"a new incarnation cuts it":                          cluster.Without(cluster.RuleNewIncarnation),
		"many that vanish together are held":                 cluster.Without(cluster.RuleMassLoss),
		"who says Bye is dropped":                            cluster.Without(cluster.RuleBye),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(patience) {
				if _, err := simulation(t, seed, nil, []cluster.Option{rule}); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("no simulation fails without it")
		})
	}
}
