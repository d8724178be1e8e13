// Package workload defines the workloads of the comparison and measures them.
package workload

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// Workload is one task of one size. Prepare is called once for each implementation. Then
// each pass measures one figure for each case.
type Workload struct {
	Name      string // "join+leave/rooms=1000"
	Cases     []Case
	Supports  func(impl.Spec) bool // reports whether the implementation can run the workload
	Prepare   func(impl.Spec) Runner
	MaxPasses int // 0: no limit; set if a pass takes long or the figures hardly vary
}

// Case is a quantity that a workload measures for each implementation.
type Case struct {
	Name string // begins with the workload's name: "join+leave/rooms=1000/goroutines=2"
	Unit string // of the figures: "ns", "bytes" or Factor; a smaller figure is better
}

// Factor is the unit of a figure that is itself a ratio. No ratio to the engine is computed.
const Factor = "×"

// Runner is a workload that is prepared for one implementation.
type Runner struct {
	// Pass measures one figure for each case, for about d.
	Pass  func(d time.Duration) []float64
	Close func()
}

// Size is the size of the workloads.
type Size struct {
	Rooms, Subscribers               []int
	ChurnRooms, Members, MemoryRooms int
	LatencySamples                   int // number of latencies measured in a pass

	WarmUp time.Duration // before a measurement; longer than the engine's interval
	Settle time.Duration // pause after the preparation, for background work
}

// The sizes: Full for published figures, and Small to check in seconds that every
// workload runs.
var (
	Full = Size{
		Rooms:       []int{1, 1_000, 100_000, 1_000_000},
		Subscribers: []int{1, 100, 10_000, 100_000},
		ChurnRooms:  1_000, Members: 100_000, MemoryRooms: 1_000_000,
		LatencySamples: 1_000,
		WarmUp:         150 * time.Millisecond, Settle: 500 * time.Millisecond,
	}
	Small = Size{
		Rooms:       []int{1, 100},
		Subscribers: []int{1, 100},
		ChurnRooms:  100, Members: 100, MemoryRooms: 1_000,
		LatencySamples: 10,
		Settle:         10 * time.Millisecond,
	}
)

// All returns every workload of the given size.
func All(size Size) []Workload {
	var all []Workload
	for _, n := range size.Rooms {
		all = append(all, joinLeave(n, size.WarmUp))
		if n > 1 {
			all = append(all, joinLeaveWatched(n, size.WarmUp))
		}
	}
	all = append(all, joinLeaveChurn(size.ChurnRooms, size.WarmUp), read(size.Members), memoryPerRoom(size.MemoryRooms, size.Settle))
	for _, n := range size.Subscribers {
		all = append(all, fanOut(n, size.Settle))
	}
	return append(all, latency("idle", noLoad, size), latency("busy hooks", busyHooks, size), busyHooksWithEvents(size),
		latency("workers", busyWorkers, size))
}

func isCounter(s impl.Spec) bool         { return s.NewCounter != nil }
func isNotifier(s impl.Spec) bool        { return s.NewNotifier != nil }
func isWatchable(s impl.Spec) bool       { return s.Watchable }
func isCounterNotifier(s impl.Spec) bool { return isCounter(s) && isNotifier(s) }

// roomNames returns n names. Each call creates new strings, so that a name passed to Join
// does not share memory with the key in the implementation's map. Comparing strings that
// share memory would be faster than in a server, which reads each name from a message.
func roomNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("room-%07d", i)
	}
	return names
}

// shuffled returns a copy of the names in random order.
func shuffled(names []string) []string {
	order := make([]string, len(names))
	for i, j := range rand.Perm(len(names)) {
		order[i] = names[j]
	}
	return order
}

// fill joins every room with a new connection, one for each room.
func fill(c impl.Counter, names []string) {
	for i, name := range names {
		c.Join(strings.Clone(name), impl.NewConn(i))
	}
}
