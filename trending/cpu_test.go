//go:build unix

package trending

import (
	"context"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
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

// loadSeconds runs one second of load for each iteration.
func loadSeconds(b *testing.B, names []string, consumer string) {
	var e *occupancy.Engine
	if consumer == "board" {
		e, _ = newFilledBoard(b, names)
	} else {
		e = occupancy.New()
		defer e.Close()
		for _, name := range names {
			if err := e.Join(name); err != nil {
				b.Fatal(err)
			}
		}
	}
	if consumer == "watcher" {
		w, err := e.Watch()
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				if _, err := w.Next(context.Background()); err != nil {
					return
				}
			}
		}()
	}
	for rounds := e.Stats().Rounds; ; { // until the engine has published the new rooms
		time.Sleep(300 * time.Millisecond)
		now := e.Stats().Rounds
		if now == rounds {
			break
		}
		rounds = now
	}
	runtime.GC()
	r := rand.New(rand.NewPCG(4, 4))
	start, seconds := cpu(), 0
	b.ResetTimer()
	for b.Loop() {
		seconds++
		tick := time.NewTicker(100 * time.Millisecond)
		for range 10 {
			for range 10_000 {
				name := names[r.IntN(len(names))]
				hook := e.Join
				if e.Current(name).Connections > 1 && r.IntN(2) == 0 {
					hook = e.Leave
				}
				if err := hook(name); err != nil {
					b.Fatal(err)
				}
			}
			<-tick.C
		}
		tick.Stop()
	}
	b.ReportMetric((cpu()-start).Seconds()/float64(seconds), "cores")
}
