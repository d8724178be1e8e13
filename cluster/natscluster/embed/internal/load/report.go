//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"
)

// report is what was measured.
type report struct {
	config
	took     time.Duration // of what follows
	from, to counters      // the server's
	traffic  traffic
	cpu      time.Duration // of this process

	made      int64         // changes
	behind    time.Duration // what a change was late by, at most
	latencies []time.Duration
	exact     int           // nodes, in the end
	settled   time.Duration // how long after the last change
	heap      uint64        // of all nodes
	nameLen   int

	single, gathered cost // of the floors; zero if they were not measured
}

// framing is what NATS adds to a message's payload on its way into a node, about.
const framing = len("MSG occupancy.v1.digest.0 1 1000\r\n\r\n")

// rate is what was counted, a second.
func (r *report) rate(before, after int64) float64 { return float64(after-before) / r.took.Seconds() }

// measureFloors has a bare process write what the server sent to as many connections:
// each message by itself, and those of a flush's time together.
func (r *report) measureFloors(ctx context.Context) (err error) {
	nodes, messages := float64(r.nodes), r.rate(r.from.OutMsgs, r.to.OutMsgs)
	if messages == 0 {
		return nil
	}
	bytes := r.rate(r.from.OutBytes, r.to.OutBytes) + messages*float64(framing)
	single := floor{r.nodes, int(bytes / messages), time.Duration(nodes / messages * float64(time.Second))}
	if r.single, err = single.measure(ctx, r.duration/3); err != nil {
		return err
	}
	gathered := floor{r.nodes, max(1, int(bytes/nodes*r.flush.Seconds())), r.flush}
	r.gathered, err = gathered.measure(ctx, r.duration/3)
	return err
}

func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "%d nodes, %d changes/s of %d rooms with names of %d bytes, %d probes/s each, flush %v, %v; GOMAXPROCS %d, %s/%s\n\n",
		r.nodes, r.changes, r.rooms, r.nameLen, r.probes, r.flush, r.took.Round(100*time.Millisecond),
		runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH)
	row := func(name, target, format string, values ...any) {
		fmt.Fprintf(out, "| %s | %s | %s |\n", name, fmt.Sprintf(format, values...), target)
	}
	seconds, rate, t := r.took.Seconds(), r.rate, r.traffic
	cores := (r.to.CPU - r.from.CPU).Seconds() / seconds
	messages := rate(r.from.OutMsgs, r.to.OutMsgs)

	fmt.Fprint(out, "| figure | measured | target |\n|---|---|---|\n")
	row("server, CPU", "< 0.25 cores*", "%.3f cores", cores)
	if r.single.cores > 0 {
		row("floor, CPU: a write for each message", "", "%.3f cores, %.0f/s", r.single.cores, r.single.writes)
		row("server's CPU, of that floor's", "", "%.2f", cores/r.single.cores)
	}
	if r.gathered.cores > 0 {
		row("floor, CPU: a write for each flush", "", "%.3f cores, %.0f/s", r.gathered.cores, r.gathered.writes)
	}
	if r.to.Writes > 0 {
		writes := rate(r.from.Writes, r.to.Writes)
		row("server, writes", "", "%.0f/s, %.2f for each message", writes, writes/messages)
	}
	row("server, memory", "", "%.1f MB", float64(r.to.Memory)/1e6)
	row("server, messages in → out", "", "%.0f/s → %.0f/s", rate(r.from.InMsgs, r.to.InMsgs), messages)
	row("server, payload in → out", "", "%.0f kB/s → %.0f kB/s", rate(r.from.InBytes, r.to.InBytes)/1e3, rate(r.from.OutBytes, r.to.OutBytes)/1e3)
	row("server, slow clients", "0", "%d", r.to.Slow)
	row("into each node, with NATS's framing", "≤ 250 kB/s*", "%.1f kB/s", (t.bytes+t.messages*float64(framing))/1e3)
	row("into each node, payload", "", "%.1f kB/s, the most %.1f kB/s", t.bytes/1e3, t.most/1e3)
	row("into each node, messages", "", "%.0f/s", t.messages)
	row("change → event, p50", "", "%v", r.percentile(50))
	row("change → event, p99", fmt.Sprintf("< %v idle", r.flush+10*time.Millisecond), "%v", r.percentile(99))
	row("change → event, the most", "", "%v of %d", r.percentile(100), len(r.latencies))
	row("nodes exact in the end", "all", "%d of %d, after %v", r.exact, r.nodes, r.settled.Round(time.Millisecond))
	row("gaps, resyncs, mismatches", "0", "%d, %d, %d", t.gaps, t.resyncs, t.mismatches)
	row("lossy, lost, unsent", "0", "%d, %d, %d", t.lossy, t.lost, t.unsent)
	row("doubts, dropped", "0", "%d, %d", t.doubts, t.dropped)
	row("all nodes, CPU", "", "%.2f cores", r.cpu.Seconds()/seconds)
	row("a node, memory in use", "", "%.2f MB", float64(r.heap)/1e6/float64(r.nodes))
	row("changes made, late by at most", fmt.Sprintf("%d/s", r.changes), "%.0f/s, %v", rate(0, r.made), r.behind.Round(100*time.Microsecond))
	fmt.Fprintln(out, "\n\\* of 100 nodes with 10,000 changes a second")
}

// percentile is what so many of a hundred latencies are not above.
func (r *report) percentile(p int) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	i := (len(r.latencies)*p + 99) / 100
	return r.latencies[max(i, 1)-1].Round(100 * time.Microsecond)
}
