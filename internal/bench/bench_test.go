package bench_test

import (
	"flag"
	"testing"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
	"github.com/occupancy/occupancy/internal/bench/internal/workload"
)

var (
	full        = flag.Bool("full", false, "run the workloads in the sizes of `make compare`: takes minutes, and gigabytes of memory")
	timePerCase = flag.Duration("time", 10*time.Millisecond, "measured time of each case in a pass")
)

// BenchmarkWorkload runs each workload with each implementation. An iteration is one pass.
// It reports the figures of the last pass, under the last part of the case's name. To
// compare implementations, use cmd/compare, where the implementations take turns.
func BenchmarkWorkload(b *testing.B) {
	size := workload.Small
	if *full {
		size = workload.Full
	}
	for _, w := range workload.All(size) {
		for _, s := range impl.All {
			if w.Supports(s) {
				b.Run(w.Name+"/"+s.Name, func(b *testing.B) { benchmark(b, w, s) })
			}
		}
	}
}

func benchmark(b *testing.B, w workload.Workload, s impl.Spec) {
	runner := w.Prepare(s)
	defer runner.Close()
	var figures []float64
	for b.Loop() {
		figures = runner.Pass(*timePerCase)
	}
	b.ReportMetric(0, "ns/op") // do not report the time of a pass
	for i, c := range w.Cases {
		b.ReportMetric(figures[i], c.Metric())
	}
}
