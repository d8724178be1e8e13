//go:build linux

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
	before, after counters      // the server's counters
	traffic       traffic       // of the nodes
	nodesCPU      time.Duration // the CPU time of this process, which contains the nodes

	aggregatorTraffic traffic // of the aggregators
	connectionTraffic traffic // of the nodes, including those that are also aggregators

	changesMade    int64
	maxDelay       time.Duration   // the longest delay of a change, relative to the schedule
	latencies      []time.Duration // the latencies of all probes, ascending
	exactNodeCount int             // the number of nodes with exact counts at the end
	exactAfter     time.Duration   // the time from the last change until all counts were exact
	heap           uint64          // the heap of all nodes in bytes
	nameLen        int             // the length of a room's name in bytes

	perMessage, perFlush usage // the usage of the baselines; zero if they were not measured
}

// framedBytes returns the received bytes per second including the framing of the server.
func (r *report) framedBytes(t traffic) float64 {
	return t.bytes + t.messages*float64(brokers[r.bus].framing)
}

// measureBaselines measures two processes that write as many bytes to as many connections
// as the server. The first process writes each message separately. The second process
// writes once per flush to each connection.
func (r *report) measureBaselines(ctx context.Context) (err error) {
	bytes, messages := r.framedBytes(r.connectionTraffic), r.connectionTraffic.messages
	if messages == 0 {
		return nil
	}
	perMessage := baseline{r.nodes, int(bytes / messages), time.Duration(float64(time.Second) / messages)}
	if r.perMessage, err = perMessage.measure(ctx, r.duration/3); err != nil {
		return err
	}
	perFlush := baseline{r.nodes, max(1, int(bytes*r.flush.Seconds())), r.flush}
	r.perFlush, err = perFlush.measure(ctx, r.duration/3)
	return err
}

func (r *report) print(out io.Writer) {
	mode := r.mode
	if r.mode == aggregators {
		mode = fmt.Sprintf("%d of the nodes are aggregators, and one is an observer", r.aggregators)
	}
	fmt.Fprintf(out, "%s, %s: %d nodes, %d changes/s in %d rooms with names of %d bytes, %d probes/s per node, flush %v, measured for %v; GOMAXPROCS %d, %s/%s\n\n",
		r.bus, mode, r.nodes, r.changes, r.rooms, r.nameLen, r.probesPerSecond, r.flush, r.elapsed.Round(100*time.Millisecond),
		runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH)
	row := func(name, target, format string, values ...any) {
		fmt.Fprintf(out, "| %s | %s | %s |\n", name, fmt.Sprintf(format, values...), target)
	}
	seconds, nodes, t, all := r.elapsed.Seconds(), float64(r.nodes), r.traffic, r.connectionTraffic
	cores := (r.after.cpu - r.before.cpu).Seconds() / seconds
	writes := float64(r.after.writes-r.before.writes) / seconds

	fmt.Fprint(out, "| figure | measured | target |\n|---|---|---|\n")
	row("server: CPU", "< 0.25 cores*", "%.3f cores", cores)
	if r.perMessage.writes > 0 {
		row("baseline with one write per message: CPU", "", "%.3f cores, %.0f writes/s", r.perMessage.cores, r.perMessage.writes)
		row("server's CPU ÷ that baseline's CPU", "", "%.2f", cores/r.perMessage.cores)
	}
	if r.perFlush.writes > 0 {
		row("baseline with one write per node and flush: CPU", "", "%.3f cores, %.0f writes/s", r.perFlush.cores, r.perFlush.writes)
	}
	row("server: writes", "", "%.0f/s, %.2f per message", writes, writes/(nodes*all.messages))
	row("server: memory", "", "%.1f MB", float64(r.after.memory)/1e6)
	row("server: messages in → out", "", "%.0f/s → %.0f/s", nodes*all.messagesOut, nodes*all.messages)
	row("server: payload in → out", "", "%.0f kB/s → %.0f kB/s", nodes*all.bytesOut/1e3, nodes*all.bytes/1e3)
	row("into each node, with framing", "≤ 250 kB/s*", "%.1f kB/s", r.framedBytes(t)/1e3)
	row("into each node, payload: mean, maximum", "", "%.1f kB/s, %.1f kB/s", t.bytes/1e3, t.maxBytes/1e3)
	row("into each node, messages", "", "%.0f/s", t.messages)
	if r.mode == aggregators {
		a := r.aggregatorTraffic
		row("into each aggregator, payload: mean, maximum", "", "%.1f kB/s, %.1f kB/s", a.bytes/1e3, a.maxBytes/1e3)
		row("into each aggregator, messages", "", "%.0f/s", a.messages)
	}
	row("change → event, p50", "", "%v", r.percentile(50))
	row("change → event, p99", fmt.Sprintf("< %v idle", r.flush+10*time.Millisecond), "%v", r.percentile(99))
	row("change → event, maximum", "", "%v in %d measurements", r.percentile(100), len(r.latencies))
	row("nodes with exact counts at the end", "all", "%d of %d, after %v", r.exactNodeCount, r.nodes, r.exactAfter.Round(time.Millisecond))
	row("gaps, resyncs, mismatches", "0", "%d, %d, %d", all.gaps, all.resyncs, all.mismatches)
	row("lossy, unsent", "0", "%d, %d", all.lossy, all.unsent)
	row("pauses, dropped", "0", "%d, %d", all.pauses, all.dropped)
	row("all nodes: CPU", "", "%.2f cores", r.nodesCPU.Seconds()/seconds)
	row("one node: heap", "", "%.2f MB", float64(r.heap)/1e6/nodes)
	row("changes made, maximum delay", fmt.Sprintf("%d/s", r.changes), "%.0f/s, %v", float64(r.changesMade)/seconds, r.maxDelay.Round(100*time.Microsecond))
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
