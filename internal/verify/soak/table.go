package main

import (
	"fmt"
	"io"
	"runtime"
	"time"
)

// line is a round's figures.
type line struct {
	round                           int
	took, settled                   time.Duration
	calls, reads                    uint64
	published, delivered, coalesced uint64
	heapUnderLoad                   int64 // bytes
	heap                            int64 // growth in bytes after everything was removed
	goroutines                      int   // increase since the start; one is the engine's
}

// table prints each line immediately, so that the user sees the progress.
type table struct{ out io.Writer }

func newTable(out io.Writer, c config) table {
	fmt.Fprintf(out, "%d rooms, interval %v, GOMAXPROCS %d, %s/%s, seed %d\n\n",
		c.rooms, c.interval, runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, c.seed)
	fmt.Fprintf(out, "%5s %11s %11s %11s %11s %11s %10s %9s %10s %11s\n",
		"round", "calls", "calls/s", "published", "delivered", "coalesced", "delay", "heap", "kept", "goroutines")
	return table{out}
}

func (t table) add(l line) {
	fmt.Fprintf(t.out, "%5d %11d %11.0f %11d %11d %11d %10v %6.1f MB %7.1f kB %+11d\n",
		l.round, l.calls, float64(l.calls)/l.took.Seconds(), l.published, l.delivered, l.coalesced,
		l.settled.Round(100*time.Microsecond), float64(l.heapUnderLoad)/1e6, float64(l.heap)/1e3, l.goroutines)
}

func (t table) end(interrupted bool) {
	if interrupted {
		fmt.Fprint(t.out, "\ninterrupted; ")
	} else {
		fmt.Fprintln(t.out)
	}
	fmt.Fprintln(t.out, "all counts were exact, every listener received the final counts, no goroutine is left after Close")
}
