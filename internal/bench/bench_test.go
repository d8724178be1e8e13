package bench_test

import (
	"flag"
	"testing"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
	"github.com/occupancy/occupancy/internal/bench/internal/work"
)

var (
	full    = flag.Bool("full", false, "the works in the sizes of `make compare`, which need some minutes and some GB")
	perCase = flag.Duration("time", 10*time.Millisecond, "how long a pass takes for each case")
)

// BenchmarkWork is each peer doing each work, one pass an iteration; the figures are
// those of the last pass, by the last part of the case's name. To compare the peers
// run cmd/compare, where they take turns.
func BenchmarkWork(b *testing.B) {
	size := work.Small
	if *full {
		size = work.Full
	}
	for _, w := range work.All(size) {
		for _, m := range peer.All {
			if w.Takes(m) {
				b.Run(w.Name+"/"+m.Name, func(b *testing.B) { benchmark(b, w, m) })
			}
		}
	}
}

func benchmark(b *testing.B, w work.Work, m peer.Maker) {
	task := w.Prepare(m)
	defer task.Close()
	var figures []float64
	for b.Loop() {
		figures = task.Pass(*perCase)
	}
	b.ReportMetric(0, "ns/op") // of a pass, which says nothing
	for i, c := range w.Cases {
		b.ReportMetric(figures[i], c.Metric())
	}
}
