package main

import (
	"fmt"
	"io"
	"runtime"
	"time"
)

// line is a round's figures.
type line struct {
	round                        int
	took, settled                time.Duration
	calls, reads                 uint64
	published, delivered, folded uint64
	loaded, heap                 int64 // bytes: under load, and more than to begin with when all left
	goroutines                   int   // more than to begin with, of which one is the engine's
}

// table prints a line when there is one, so that who waits sees how it goes.
type table struct{ out io.Writer }

func newTable(out io.Writer, c config) table {
	fmt.Fprintf(out, "%d rooms, interval %v, GOMAXPROCS %d, %s/%s, seed %d\n\n",
		c.rooms, c.interval, runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, c.seed)
	fmt.Fprintf(out, "%5s %11s %11s %11s %11s %11s %10s %9s %10s %11s\n",
		"round", "calls", "calls/s", "published", "delivered", "folded", "last word", "loaded", "left", "goroutines")
	return table{out}
}

func (t table) add(l line) {
	fmt.Fprintf(t.out, "%5d %11d %11.0f %11d %11d %11d %10v %6.1f MB %7.1f kB %+11d\n",
		l.round, l.calls, float64(l.calls)/l.took.Seconds(), l.published, l.delivered, l.folded,
		l.settled.Round(100*time.Microsecond), float64(l.loaded)/1e6, float64(l.heap)/1e3, l.goroutines)
}

func (t table) end(interrupted bool) {
	if interrupted {
		fmt.Fprint(t.out, "\ninterrupted; ")
	} else {
		fmt.Fprintln(t.out)
	}
	fmt.Fprintln(t.out, "counts exact, no last word lost, no goroutine left after Close")
}
