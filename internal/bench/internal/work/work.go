// Package work is what the peers are made to do, and how it is measured.
package work

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// Work is one thing to do, at one size. It is prepared once for each peer, and a pass
// over it yields one figure for each of its cases.
type Work struct {
	Name    string // "join+leave/rooms=1000"
	Cases   []Case
	Takes   func(peer.Maker) bool
	Prepare func(peer.Maker) Task
	// Most is how many passes make sense where one takes long and the figures hardly
	// differ; 0: as many as one likes.
	Most int
}

// Case is a row of the table.
type Case struct {
	Name string // of the work, and what more there is to say: "join+leave/rooms=1000/goroutines=2"
	Unit string // the less the better
	// Alone is set if a ratio to the engine's figure would say nothing, for it may be 0.
	Alone bool
}

// Metric is the case as a unit of `go test -bench`.
func (c Case) Metric() string {
	parts := strings.Split(c.Name, "/")
	return strings.ReplaceAll(parts[len(parts)-1], " ", "-") + "-" + c.Unit
}

// Task is a work with a peer in it, ready to be measured.
type Task struct {
	Pass  func(d time.Duration) []float64 // one figure for each case; takes about d for each
	Close func()
}

// Size is how big the works are.
type Size struct {
	Rooms, Crowds, Zipf, Churn, Subscribers []int
	HeapRooms, HeapMembers                  int // of which the memory is weighed
	Samples                                 int // of the latency in a pass
	RestRooms, RestSubscribers              int // of a process in which nothing happens

	Warm   time.Duration // off the clock before what is timed; longer than the engine lets a room rest
	Settle time.Duration // for what a peer still has to do after it was filled
	Watch  time.Duration // how long nothing happens
}

// Full is for figures that are published, Small to see in seconds that all works.
var (
	Full = Size{
		Rooms:       []int{1, 1_000, 100_000, 1_000_000},
		Crowds:      []int{1, 100, 10_000, 100_000},
		Zipf:        []int{100_000},
		Churn:       []int{1_000, 100_000},
		Subscribers: []int{1, 100, 10_000, 100_000},
		HeapRooms:   1_000_000, HeapMembers: 100_000,
		Samples:   2_000,
		RestRooms: 100_000, RestSubscribers: 1_000,
		Warm: 150 * time.Millisecond, Settle: 500 * time.Millisecond, Watch: time.Second,
	}
	Small = Size{
		Rooms:       []int{1, 100},
		Crowds:      []int{1, 100},
		Zipf:        []int{100},
		Churn:       []int{100},
		Subscribers: []int{1, 100},
		HeapRooms:   1_000, HeapMembers: 1_000,
		Samples:   20,
		RestRooms: 100, RestSubscribers: 10,
		Settle: 10 * time.Millisecond, Watch: 10 * time.Millisecond,
	}
)

// All is every work at that size.
func All(size Size) []Work {
	var all []Work
	for _, n := range size.Rooms {
		all = append(all, joinLeave(n, size.Warm))
	}
	for _, n := range size.Zipf {
		all = append(all, zipf(n, size.Warm))
	}
	for _, n := range size.Churn {
		all = append(all, churn(n, size.Warm))
	}
	for _, n := range size.Crowds {
		all = append(all, read(n))
	}
	for _, n := range size.Subscribers {
		all = append(all, fanOut(n, size.Settle))
	}
	return append(all, heapOfRooms(size.HeapRooms, size.Settle), heapOfMembers(size.HeapMembers, size.Settle),
		latency(size.Samples, idle, size.Settle), latency(size.Samples, steady, size.Settle),
		latency(size.Samples, full, size.Settle), rest(size))
}

// counts takes every peer, and tells those that tell.
func counts(m peer.Maker) bool { return m.New != nil }
func tells(m peer.Maker) bool  { return m.Tells != nil }

// both takes the peers, not the floors, that tell.
func both(m peer.Maker) bool { return counts(m) && tells(m) }

// roomNames makes n names. Each call makes its own strings, as a server has each name
// from what it just read, never from the map that it looks it up in.
func roomNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("room-%07d", i)
	}
	return names
}

// shuffled are the names in an order of its own.
func shuffled(names []string) []string {
	order := make([]string, len(names))
	for i, j := range rand.Perm(len(names)) {
		order[i] = names[j]
	}
	return order
}

// fill has one connection join each room.
func fill(p peer.Peer, names []string) {
	for i, name := range names {
		p.Join(strings.Clone(name), peer.NewConn(i))
	}
}
