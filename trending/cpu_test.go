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

// perCPU benchmarks the last step, which does n operations, and reports its CPU time per
// operation. Unlike elapsed time, that excludes other processes. The steps before the
// last one prepare it and are not measured.
func perCPU(b *testing.B, n int, steps ...func()) {
	runtime.GC()
	var took time.Duration
	measured := len(steps) - 1
	rounds := 0
	for b.Loop() {
		rounds++
		if measured > 0 {
			b.StopTimer()
			for _, f := range steps[:measured] {
				f()
			}
			b.StartTimer()
			began := cpu()
			steps[measured]()
			took += cpu() - began
			continue
		}
		if rounds == 1 {
			took = -cpu()
		}
		steps[0]()
	}
	if measured == 0 {
		took += cpu()
	}
	b.ReportMetric(float64(took)/float64(rounds)/float64(n), "cpu-ns/op")
}

// loadSecond runs one second of load for each iteration.
func loadSecond(b *testing.B, names []string, with string) {
	var e *occupancy.Engine
	if with == "board" {
		e, _ = filledBoard(b, names)
	} else {
		e = occupancy.New()
		defer e.Close()
		for _, name := range names {
			if err := e.Join(name); err != nil {
				b.Fatal(err)
			}
		}
	}
	if with == "watcher" {
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
	for settled := e.Stats().Rounds; ; { // until the engine has published the new rooms
		time.Sleep(300 * time.Millisecond)
		now := e.Stats().Rounds
		if now == settled {
			break
		}
		settled = now
	}
	runtime.GC()
	r := rand.New(rand.NewPCG(4, 4))
	began, seconds := cpu(), 0
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
	b.ReportMetric((cpu()-began).Seconds()/float64(seconds), "cores")
}
