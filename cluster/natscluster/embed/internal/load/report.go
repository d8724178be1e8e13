//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"
)

// report is the result of a measurement.
type report struct {
	config
	elapsed       time.Duration
	before, after counters // the server's counters before and after the measurement
	traffic       traffic
	cpu           time.Duration // the CPU time of this process, which contains the nodes

	changesMade    int64
	maxDelay       time.Duration   // the longest delay of a change, relative to the schedule
	latencies      []time.Duration // the latencies of all probes, ascending
	exactNodeCount int             // the number of nodes with exact counts at the end
	exactAfter     time.Duration   // the time from the last change until all counts were exact
	heap           uint64          // the heap of all nodes in bytes
	nameLen        int             // the length of a room's name in bytes

	perMessage, perFlush usage // the usage of the baselines; zero if they were not measured
}

// framing is the approximate number of bytes that NATS adds to a payload.
const framing = len("MSG occupancy.v1.digest.0 1 1000\r\n\r\n")

// rate returns the increase per second.
func (r *report) rate(before, after int64) float64 {
	return float64(after-before) / r.elapsed.Seconds()
}

// measureBaselines measures two processes that write as many bytes to as many connections
// as the server. The first process writes each message separately. The second process
// writes once per flush to each connection.
func (r *report) measureBaselines(ctx context.Context) (err error) {
	nodes, messages := float64(r.nodes), r.rate(r.before.OutMsgs, r.after.OutMsgs)
	if messages == 0 {
		return nil
	}
	bytes := r.rate(r.before.OutBytes, r.after.OutBytes) + messages*float64(framing)
	perMessage := baseline{r.nodes, int(bytes / messages), time.Duration(nodes / messages * float64(time.Second))}
	if r.perMessage, err = perMessage.measure(ctx, r.duration/3); err != nil {
		return err
	}
	perFlush := baseline{r.nodes, max(1, int(bytes/nodes*r.flush.Seconds())), r.flush}
	r.perFlush, err = perFlush.measure(ctx, r.duration/3)
	return err
}

func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "%d nodes, %d changes/s in %d rooms with names of %d bytes, %d probes/s per node, flush %v, measured for %v; GOMAXPROCS %d, %s/%s\n\n",
		r.nodes, r.changes, r.rooms, r.nameLen, r.probesPerSecond, r.flush, r.elapsed.Round(100*time.Millisecond),
		runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH)
	row := func(name, target, format string, values ...any) {
		fmt.Fprintf(out, "| %s | %s | %s |\n", name, fmt.Sprintf(format, values...), target)
	}
	seconds, rate, t, before, after := r.elapsed.Seconds(), r.rate, r.traffic, r.before, r.after
	cores := (after.CPU - before.CPU).Seconds() / seconds
	messages := rate(before.OutMsgs, after.OutMsgs)

	fmt.Fprint(out, "| figure | measured | target |\n|---|---|---|\n")
	row("server: CPU", "< 0.25 cores*", "%.3f cores", cores)
	if r.perMessage.cores > 0 {
		row("baseline with one write per message: CPU", "", "%.3f cores, %.0f writes/s", r.perMessage.cores, r.perMessage.writes)
		row("server's CPU ÷ that baseline's CPU", "", "%.2f", cores/r.perMessage.cores)
	}
	if r.perFlush.cores > 0 {
		row("baseline with one write per node and flush: CPU", "", "%.3f cores, %.0f writes/s", r.perFlush.cores, r.perFlush.writes)
	}
	if after.Writes > 0 {
		writes := rate(before.Writes, after.Writes)
		row("server: writes", "", "%.0f/s, %.2f per message", writes, writes/messages)
	}
	row("server: memory", "", "%.1f MB", float64(after.Memory)/1e6)
	row("server: messages in → out", "", "%.0f/s → %.0f/s", rate(before.InMsgs, after.InMsgs), messages)
	row("server: payload in → out", "", "%.0f kB/s → %.0f kB/s", rate(before.InBytes, after.InBytes)/1e3, rate(before.OutBytes, after.OutBytes)/1e3)
	row("server: slow clients disconnected", "0", "%d", after.SlowClients)
	row("into each node, with NATS framing", "≤ 250 kB/s*", "%.1f kB/s", (t.bytes+t.messages*float64(framing))/1e3)
	row("into each node, payload: mean, maximum", "", "%.1f kB/s, %.1f kB/s", t.bytes/1e3, t.maxBytes/1e3)
	row("into each node, messages", "", "%.0f/s", t.messages)
	row("change → event, p50", "", "%v", r.percentile(50))
	row("change → event, p99", fmt.Sprintf("< %v idle", r.flush+10*time.Millisecond), "%v", r.percentile(99))
	row("change → event, maximum", "", "%v in %d measurements", r.percentile(100), len(r.latencies))
	row("nodes with exact counts at the end", "all", "%d of %d, after %v", r.exactNodeCount, r.nodes, r.exactAfter.Round(time.Millisecond))
	row("gaps, resyncs, mismatches", "0", "%d, %d, %d", t.gaps, t.resyncs, t.mismatches)
	row("lossy, unsent", "0", "%d, %d", t.lossy, t.unsent)
	row("pauses, dropped", "0", "%d, %d", t.pauses, t.dropped)
	row("all nodes: CPU", "", "%.2f cores", r.cpu.Seconds()/seconds)
	row("one node: heap", "", "%.2f MB", float64(r.heap)/1e6/float64(r.nodes))
	row("changes made, maximum delay", fmt.Sprintf("%d/s", r.changes), "%.0f/s, %v", rate(0, r.changesMade), r.maxDelay.Round(100*time.Microsecond))
	fmt.Fprintln(out, "\n\\* with 100 nodes and 10,000 changes/s")
}

// percentile returns the p-th percentile of the latencies.
func (r *report) percentile(p int) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	i := (len(r.latencies)*p + 99) / 100
	return r.latencies[max(i, 1)-1].Round(100 * time.Microsecond)
}
