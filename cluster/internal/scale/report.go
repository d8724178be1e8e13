package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/occupancy/occupancy/cluster/internal/core"
)

// report is the result of a measurement.
type report struct {
	config
	synchronized time.Duration // when all nodes had synchronized
	traffic      traffic
	usage        [roles]total
	pairs        int     // of a node and a room in which it has connections
	nameLen      int     // of a room
	known        float64 // the mean number of rooms of other nodes on a plain node

	latencies  []time.Duration // of all probes, ascending
	exact      int             // the number of exact nodes at the end
	exactAfter time.Duration   // the time from the last change until all nodes were exact
	memory     [roles]uint64   // the heap of one state machine in bytes
}

// total is the usage of all nodes of a role.
type total struct {
	nodes int
	sum   usage
	max   usage
}

// measured copies the figures of the measured time.
func (r *report) measured(l *load) {
	r.traffic, r.pairs, r.nameLen = l.traffic, l.occupied(), len(roomName(0))
	for _, n := range l.plain {
		for _, t := range n.tables {
			r.known += float64(len(t.parts)) / float64(len(l.plain))
		}
	}
	for _, n := range l.nodes {
		t, u := &r.usage[n.role], n.usage
		t.nodes++
		t.sum.cpu += u.cpu
		t.sum.messages += u.messages
		t.sum.bytes += u.bytes
		t.sum.flushes += u.flushes
		t.sum.rooms += u.rooms
		t.sum.users += u.users
		t.max.cpu = max(t.max.cpu, u.cpu)
		t.max.messages = max(t.max.messages, u.messages)
		t.max.bytes = max(t.max.bytes, u.bytes)
		t.max.longestCall = max(t.max.longestCall, u.longestCall)
		t.max.longestBurst = max(t.max.longestBurst, u.longestBurst)
	}
}

// measureMemory measures how much heap is released with the state machines of each role. The
// counts that an engine stores are not part of it.
func (r *report) measureMemory(l *load) {
	l.queue = nil
	for _, n := range l.nodes {
		for _, t := range n.tables {
			t.parts = nil
		}
	}
	for role := range roles {
		before := heapInUse()
		for _, n := range l.nodes {
			if n.role == role {
				n.m, n.tables = nil, nil
			}
		}
		if nodes := r.usage[role].nodes; nodes > 0 {
			r.memory[role] = (before - heapInUse()) / uint64(nodes)
		}
	}
	runtime.KeepAlive(l)
}

// framing is the approximate number of bytes that NATS adds to a payload.
const framing = len("MSG occupancy.v1.digest.1234567890 1 1000\r\n\r\n")

// bytesPerPart is the memory of a room of a peer: see docs/benchmarks.md.
const bytesPerPart = 50

// meshed is what each node would need if the same changes were exchanged all-to-all.
type meshed struct{ messages, bytes, memory float64 }

// computeMesh computes it from the flushes of the nodes. Mode mesh verifies the sizes.
func (r *report) computeMesh() meshed {
	const heartbeat = 57
	digestHead, room := 40.0, float64(r.nameLen+4)
	if r.users {
		digestHead, room = digestHead+8, room+2 // three more columns, two of them with a byte for each room
	}
	t, seconds := r.usage[plain], r.duration.Seconds()
	nodes := float64(t.nodes)
	flushes := float64(t.sum.flushes) / seconds
	return meshed{
		messages: flushes + nodes,
		bytes:    flushes*digestHead + nodes*heartbeat + float64(t.sum.rooms)/seconds*room + float64(t.sum.users)/seconds*8,
		memory:   bytesPerPart * float64(r.pairs) * (nodes - 1) / nodes,
	}
}

// print prints the report. The last column is computed for all-to-all.
func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "mode %s: %d nodes", r.mode, r.nodes)
	columns := []role{plain}
	if r.mode == "aggregators" {
		fmt.Fprintf(out, ", %d aggregators, one observer", r.aggregators)
		columns = []role{plain, aggregator, observer}
	}
	if r.lose > 0 {
		fmt.Fprintf(out, "; %d aggregators crash after %v", r.lose, r.duration/2)
	}
	fmt.Fprintf(out, "; %d connections, in all %d rooms of the nodes; %d different rooms (Zipf %.2g); users %v; %d changes/s; "+
		"flush %v, mean delay %v, clocks differ by up to %v; measured for %v; seed %d; %s/%s\n\n",
		r.connections, r.pairs, r.rooms, r.zipf, r.users, r.changes, r.flush, r.delay, r.skew, r.duration, r.seed, runtime.GOOS, runtime.GOARCH)
	all := r.printTraffic(out, columns)

	seconds, n, mesh := r.duration.Seconds(), float64(r.nodes), r.computeMesh()
	kB := func(bytes float64) string { return fmt.Sprintf("%.1f kB/s", bytes/1e3) }
	MB := func(bytes float64) string { return fmt.Sprintf("%.2f MB", bytes/1e6) }
	perSecond := func(x float64) string { return fmt.Sprintf("%.0f/s", x) }
	row := func(name, target, measured, mesh string) {
		fmt.Fprintf(out, "| %s | %s | %s | %s |\n", name, measured, target, mesh)
	}
	fmt.Fprint(out, "\n| figure | measured | target* | all-to-all, computed |\n|---|---|---|---|\n")
	row("messages in all", "≤ 200,000/s", perSecond(float64(all.messages)/seconds), perSecond(mesh.messages*n))
	row("payload in all", "", kB(float64(all.bytes)/seconds), kB(mesh.bytes*n))
	u := r.usage[plain]
	row("into a plain node, with NATS framing", "≤ 250 kB/s", kB(float64(u.sum.bytes+u.sum.messages*framing)/n/seconds), kB(mesh.bytes+mesh.messages*float64(framing)))
	row("staleness p50, p99, maximum", "", fmt.Sprintf("%v, %v, %v", percentile(r.latencies, 50), percentile(r.latencies, 99), percentile(r.latencies, 100)), "")
	row("measurements of the staleness", "", strconv.Itoa(len(r.latencies)), "")
	row("exact nodes at the end", "all", fmt.Sprintf("%d of %d, within %v", r.exact, r.usage[plain].nodes+r.usage[observer].nodes, r.exactAfter), "")
	row("rooms of other nodes on a plain node, mean", "", fmt.Sprintf("%.0f", r.known), fmt.Sprintf("%.0f", float64(r.pairs)*(n-1)/n))
	row("memory of these rooms, at 50 bytes each", "", MB(bytesPerPart*r.known), MB(mesh.memory))
	for _, role := range columns {
		u, nodes := r.usage[role], float64(r.usage[role].nodes)
		name := [...]string{"plain node", "observer", "aggregator"}[role]
		row(name+": payload received, mean and maximum", "", kB(float64(u.sum.bytes)/nodes/seconds)+", "+kB(float64(u.max.bytes)/seconds), "")
		row(name+": messages received, mean, and maximum in 1 ms", "", fmt.Sprintf("%s, %d", perSecond(float64(u.sum.messages)/nodes/seconds), u.max.longestBurst), "")
		row(name+": memory of the protocol", "", MB(float64(r.memory[role])), "")
		row(name+": CPU, mean and maximum", "", fmt.Sprintf("%.2f%%, %.2f%% of a core", 100*u.sum.cpu.Seconds()/nodes/seconds, 100*u.max.cpu.Seconds()/seconds), "")
		row(name+": longest call", "", u.max.longestCall.Round(10*time.Microsecond).String(), "")
	}
	row("all nodes synchronized, after the first start", "", r.synchronized.String(), "")
	fmt.Fprintln(out, "\n\\* with 1,000 nodes, 1,000,000 rooms and 10,000 changes/s")
}

// printTraffic prints the messages by kind, in all and into one node of each role. It returns the sum.
func (r *report) printTraffic(out io.Writer, columns []role) (all flow) {
	seconds := r.duration.Seconds()
	cell := func(f flow, nodes int) string {
		per := seconds * float64(nodes)
		return fmt.Sprintf(" %.1f/s, %.1f kB/s |", float64(f.messages)/per, float64(f.bytes)/per/1e3)
	}
	fmt.Fprint(out, "| messages | in all |")
	for _, role := range columns {
		fmt.Fprint(out, [...]string{" into a plain node |", " into the observer |", " into an aggregator |"}[role])
	}
	fmt.Fprintln(out, "\n|---|---|"+strings.Repeat("---|", len(columns)))
	names := [...]string{core.Digest: "Digest", core.Heartbeat: "Heartbeat", core.Bye: "Bye", core.Query: "Query", core.Answer: "Answer",
		core.SyncRequest: "SyncRequest", core.SyncReply: "SyncReply"}
	for kind, byRole := range r.traffic {
		sum := flow{}
		for _, f := range byRole {
			sum.messages += f.messages
			sum.bytes += f.bytes
		}
		if sum.messages == 0 {
			continue
		}
		all.messages += sum.messages
		all.bytes += sum.bytes
		fmt.Fprint(out, "| ", names[kind], " |", cell(sum, 1))
		for _, role := range columns {
			fmt.Fprint(out, cell(byRole[role], r.usage[role].nodes))
		}
		fmt.Fprintln(out)
	}
	return all
}
