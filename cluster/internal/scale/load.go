package main

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/occupancy/occupancy"
)

// load is the connections of all nodes, and their changes.
type load struct {
	*sim
	plain       []*node
	popularity  []float64 // the cumulative popularity of the rooms
	connections []connection
	totals      []int // connections of all nodes, by room
	stopped     bool
	latencies   []time.Duration // of the probes
}

type connection struct{ node, room int }

func newLoad(s *sim) *load {
	l := &load{sim: s, totals: make([]int, s.rooms)}
	sum := 0.0
	for k := range s.rooms {
		sum += math.Pow(float64(k+1), -s.zipf)
		l.popularity = append(l.popularity, sum)
	}
	for i := range s.config.nodes {
		n := s.add(plain, fmt.Sprintf("chat-%04d", i))
		n.probe = probe{load: l, room: fmt.Sprintf("probe-%04d", (i+s.config.nodes/2)%s.config.nodes)}
		if s.mode == "aggregators" {
			n.pend(n.probe.room, 0, 0).Interested = true
		}
	}
	l.plain = s.nodes
	for i := range s.connections {
		c := connection{i % s.config.nodes, l.randomRoom()}
		l.connections = append(l.connections, c)
		l.change(i, 1)
	}
	if s.mode == "aggregators" {
		s.add(observer, "observer")
		for i := range s.aggregators {
			s.add(aggregator, fmt.Sprintf("seed-%d", i))
		}
	}
	return l
}

// randomRoom returns a room by its popularity.
func (l *load) randomRoom() int {
	return sort.SearchFloat64s(l.popularity, l.rand.Float64()*l.popularity[len(l.popularity)-1])
}

// change adds or removes a connection in its room.
func (l *load) change(i, by int) {
	c := l.connections[i]
	l.totals[c.room] += by
	l.plain[c.node].change(c.room, by, uint64(i+1)*0x9e3779b97f4a7c15) // well distributed, as hashes of users are
}

// move moves a random connection to another room of its node: two changes.
func (l *load) move() bool {
	if !l.stopped {
		i := l.rand.IntN(len(l.connections))
		l.change(i, -1)
		l.connections[i].room = l.randomRoom()
		l.change(i, 1)
	}
	return !l.stopped
}

// start begins the changes.
func (l *load) start() {
	second := float64(time.Second)
	l.every(time.Duration(2*second/float64(l.changes-l.probes)), l.move)
	l.every(time.Duration(second/float64(l.probes)), func() bool {
		if !l.stopped {
			i := l.rand.IntN(len(l.plain))
			p := &l.plain[(i+len(l.plain)-len(l.plain)/2)%len(l.plain)].probe // receives the changes of node i
			p.changes = append(p.changes, l.now)
			l.plain[i].pend(p.room, len(p.changes)-1, len(p.changes))
		}
		return !l.stopped
	})
}

// probe measures the time from a change on another node until this node has it. The other node
// increments a count. A count of n confirms the first n changes.
type probe struct {
	load      *load
	room      string
	changes   []time.Duration // their times
	confirmed int
}

func (p *probe) receive(count int, now time.Duration) {
	for ; p.confirmed < min(count, len(p.changes)); p.confirmed++ {
		p.load.latencies = append(p.load.latencies, now-p.changes[p.confirmed])
	}
}

// percentile returns the p-th percentile of sorted latencies.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*p+99)/100-1].Round(100 * time.Microsecond)
}

// wrong returns an error if the node does not have the exact counts of the other nodes: of
// its own rooms, or of all rooms in an observer and with all-to-all.
func (l *load) wrong(n *node) error {
	if n.role == aggregator {
		return nil // has no engine
	}
	others := n.others()
	expected := 0
	check := func(room string, connections int) error {
		if connections > 0 {
			expected++
		}
		want := occupancy.Occupancy{Connections: connections, PresenceMembers: connections}
		if l.users && room[0] == 'r' {
			want.Users = connections
		}
		if got := others[room]; got != want {
			return fmt.Errorf("%s: counts of other nodes: %+v, want %+v", room, got, want)
		}
		return nil
	}
	if n.role == observer || l.mode == "mesh" {
		for room, total := range l.totals {
			if err := check(roomName(room), total-n.counts[room]); err != nil {
				return err
			}
		}
		for _, other := range l.plain {
			if p := other.probe; !l.publishes(n, p.room) {
				if err := check(p.room, len(p.changes)); err != nil {
					return err
				}
			}
		}
	} else {
		for room, own := range n.counts {
			if err := check(roomName(room), l.totals[room]-own); err != nil {
				return err
			}
		}
		if err := check(n.probe.room, len(n.probe.changes)); err != nil {
			return err
		}
	}
	if len(others) != expected {
		return fmt.Errorf("counts of %d rooms, want %d", len(others), expected)
	}
	return nil
}

// publishes reports whether the node changes the room of a probe.
func (l *load) publishes(n *node, room string) bool {
	i, err := strconv.Atoi(room[len("probe-"):])
	return err == nil && n.role == plain && l.plain[i] == n
}

// exact reports whether all nodes are exact. Without changes, a node that is exact stays exact, so
// known is the number of nodes that need no check.
func (l *load) exact(known *int) bool {
	for *known < len(l.nodes) && l.wrong(l.nodes[*known]) == nil {
		*known++
	}
	return *known == len(l.nodes)
}

// run runs the whole measurement.
func run(c config) (*report, error) {
	runtime.LockOSThread() // see cpuTime
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // see collectGarbage
	s := newSim(c)
	r := &report{config: c}
	l := newLoad(s)
	for _, n := range s.nodes {
		s.at(s.between(time.Second), n.start)
	}
	s.advance(2 * time.Second)
	known := 0
	if err := s.until(2*time.Minute, "every node is synchronized", func() bool { return l.exact(&known) }); err != nil {
		return nil, fmt.Errorf("%w: %w", err, l.wrong(s.nodes[known]))
	}
	r.synchronized = s.now
	// The nodes have chosen aggregators before they knew all of them. After ten heartbeats, the aggregators stop
	// to collect the shards that no node requests any longer.
	s.advance(12 * time.Second)

	l.start()
	s.advance(time.Second)
	s.traffic = traffic{}
	for _, n := range s.nodes {
		n.usage = usage{}
	}
	s.advance(c.duration / 2)
	for _, n := range s.nodes[len(s.nodes)-c.lose:] {
		n.crashed = true
	}
	s.advance(c.duration - c.duration/2)
	r.measured(l)

	l.stopped = true
	known, stopped := 0, s.now
	err := s.until(time.Minute, "every node is exact", func() bool { return l.exact(&known) })
	r.exactAfter = s.now - stopped
	for _, n := range s.nodes {
		if wrong := l.wrong(n); wrong != nil {
			err = wrong
		} else if n.role != aggregator {
			r.exact++
		}
	}
	slices.Sort(l.latencies)
	r.latencies = l.latencies
	r.measureMemory(l)
	return r, err
}

// occupied returns the number of pairs of a node and a room in which it has connections.
func (l *load) occupied() (pairs int) {
	for _, n := range l.plain {
		pairs += len(n.counts)
	}
	return pairs
}
