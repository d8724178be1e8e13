package clustertest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// Network joins any number of in-memory buses. A new one is perfect: what is published
// is delivered before Publish returns. [Network.SetFaults] and [Network.Partition]
// change that, and the methods of [Bus] what befalls one.
//
// In a bubble of testing/synctest what it does repeats exactly, given the seed and the
// same calls at the same times: each pair of buses draws its faults from a source of
// its own, and what is delayed arrives on whole milliseconds since the Network was
// made, ordered by sender, however goroutines are scheduled. All its methods may be
// called from any goroutine.
type Network struct {
	seed  uint64
	start time.Time

	// mu protects the following, and what buses say is under it.
	mu     sync.Mutex
	faults Faults
	group  map[string]int // of the partition, by bus
	buses  []*Bus
	names  map[string]bool
	links  map[[2]*Bus]*link
	sent   uint64
	late   schedule
	tap    func(from string, m cluster.Message)
}

// Faults is what a Network does to messages, each on its way to each subscriber. The
// chances are from 0 to 1.
type Faults struct {
	Loss      float64 // chance of being lost
	Duplicate float64 // chance of coming twice
	Reorder   float64 // chance of being held back for another while, so that later ones overtake it
	Garble    float64 // chance of a byte of the payload being another

	// How long a message is on its way, in whole milliseconds between these two.
	MinDelay, MaxDelay time.Duration
}

// link is the way from one bus to another.
type link struct {
	rand *rand.Rand
	last time.Duration // when what was not held back arrives at the earliest
}

// NewNetwork makes a network whose faults are drawn from the seed.
func NewNetwork(seed uint64) *Network {
	return &Network{
		seed:  seed,
		start: time.Now(),
		group: map[string]int{},
		names: map[string]bool{},
		links: map[[2]*Bus]*link{},
	}
}

// SetFaults sets what is done to messages from now on. It panics on a chance or a
// delay that cannot be.
func (n *Network) SetFaults(f Faults) {
	for _, chance := range []float64{f.Loss, f.Duplicate, f.Reorder, f.Garble} {
		if !(chance >= 0 && chance <= 1) {
			panic(fmt.Sprintf("clustertest: no chance: %v", chance))
		}
	}
	if f.MinDelay < 0 || f.MaxDelay < f.MinDelay {
		panic(fmt.Sprintf("clustertest: no delay: from %v to %v", f.MinDelay, f.MaxDelay))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Partition lets messages pass only between buses of the same group, by their names;
// those that no group names are one more. It replaces the partition before; without
// groups there is none. Messages on their way are cut off too.
func (n *Network) Partition(groups ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.group)
	for i, names := range groups {
		for _, name := range names {
			n.group[name] = i + 1
		}
	}
}

// Tap has f see each message as it is published, with the name of the bus. It may not
// keep the payload or call the network. It replaces the one before.
func (n *Network) Tap(f func(from string, m cluster.Message)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// Bus attaches another bus. It panics if there was one of that name.
func (n *Network) Bus(name string) *Bus {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names[name] {
		panic("clustertest: another bus named " + name)
	}
	n.names[name] = true
	b := &Bus{net: n, name: name, events: cluster.NewBusEvents(), up: true, max: 1 << 20}
	b.events.Tell(cluster.Connected)
	n.buses = append(n.buses, b)
	return b
}

// send puts a message on its way to all subscribers. The caller has mu.
func (n *Network) send(from *Bus, subject cluster.Subject, payload []byte) {
	n.sent++
	if n.tap != nil {
		n.tap(from.name, cluster.Message{Subject: subject, Payload: payload})
	}
	for _, to := range n.buses {
		if to != from && to.wants(subject) && n.reach(from, to) {
			n.carry(from, to, cluster.Message{Subject: subject, Payload: payload})
		}
	}
}

// carry puts a message on its way to one bus. The payload is not kept.
func (n *Network) carry(from, to *Bus, m cluster.Message) {
	f := n.faults
	if f == (Faults{}) && n.late.empty() {
		to.receive(m)
		return
	}
	l := n.link(from, to)
	if l.rand.Float64() < f.Loss {
		return
	}
	m.Payload = slices.Clone(m.Payload)
	if l.rand.Float64() < f.Garble && len(m.Payload) > 0 {
		m.Payload[l.rand.IntN(len(m.Payload))] ^= byte(1 + l.rand.IntN(255))
	}
	now := time.Since(n.start)
	copies := 1
	if l.rand.Float64() < f.Duplicate {
		copies = 2
	}
	for i := range copies {
		due := now + f.delay(l.rand)
		switch {
		case l.rand.Float64() < f.Reorder:
			due += f.delay(l.rand) + f.MaxDelay
		case i == 0:
			due = max(due, l.last)
			l.last = due
		}
		n.late.add(n, delayed{due: due, from: from, to: to, n: n.sent, m: m})
	}
}

func (f Faults) delay(r *rand.Rand) time.Duration {
	return f.MinDelay + time.Duration(r.Int64N(int64(f.MaxDelay-f.MinDelay)/int64(time.Millisecond)+1))*time.Millisecond
}

// reach reports whether a message can pass from one bus to another.
func (n *Network) reach(from, to *Bus) bool {
	return from.up && to.up && n.group[from.name] == n.group[to.name]
}

func (n *Network) link(from, to *Bus) *link {
	key := [2]*Bus{from, to}
	l := n.links[key]
	if l == nil {
		l = &link{rand: rand.New(rand.NewPCG(n.seed, hash(from.name, to.name)))}
		n.links[key] = l
	}
	return l
}

// hash is the same in every process.
func hash(names ...string) uint64 {
	h := fnv.New64a()
	for _, name := range names {
		h.Write([]byte(name + "\x00"))
	}
	return h.Sum64()
}
