//go:build unix

package trending

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// cpu returns the CPU time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPUTime benchmarks the last step and reports its CPU time per operation. The last
// step consists of n operations. The earlier steps prepare the last step and are not
// measured. Unlike elapsed time, CPU time does not include other processes.
func reportCPUTime(b *testing.B, n int, steps ...func()) {
	runtime.GC()
	var total time.Duration
	last := len(steps) - 1
	rounds := 0
	for b.Loop() {
		rounds++
		if last > 0 {
			b.StopTimer()
			for _, f := range steps[:last] {
				f()
			}
			b.StartTimer()
			start := cpu()
			steps[last]()
			total += cpu() - start
			continue
		}
		if rounds == 1 {
			total = -cpu()
		}
		steps[0]()
	}
	if last == 0 {
		total += cpu()
	}
	b.ReportMetric(float64(total)/float64(rounds)/float64(n), "cpu-ns/op")
}
