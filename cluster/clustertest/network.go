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

// Network connects any number of buses in memory. A new network has no faults: a message is
// delivered before Publish returns. [Network.SetFaults], [Network.Partition] and
// [Network.Block] inject faults between the buses, and the methods of [Bus] for one bus.
//
// [Network.StartNode] starts a node on a bus of its own, [Network.Settle] returns when all
// nodes agree, and [Network.Want] compares their counts.
//
// In a bubble of testing/synctest the behavior is reproducible: it depends only on the
// seed, the calls and their times. Each pair of buses has its own source of random
// numbers. Delayed messages are delivered on whole milliseconds since the creation of the
// network, ordered by sender. All methods can be called from any goroutine.
type Network struct {
	seed  uint64
	start time.Time

	// mu protects the following, and the fields of the buses.
	mu          sync.Mutex
	faults      Faults
	group       map[string]int     // the group in the partition, by bus
	blocked     map[[2]string]bool // by the sending and the receiving bus
	buses       []*Bus             // that are not closed
	nodes       []*Node            // that are not killed
	connections map[[2]*Bus]*connection
	sent        uint64
	delayed     schedule
	tap         func(from string, m cluster.Message)
}

// Faults are the faults that a Network injects, for each message and each receiving bus
// separately. Probabilities are between 0 and 1.
type Faults struct {
	Loss      float64 // probability that a message is lost
	Duplicate float64 // probability that a message is delivered twice
	Reorder   float64 // probability of an additional delay, so that later messages overtake this message
	Garble    float64 // probability that one byte of the payload is changed

	// The range of the delay of a message, in whole milliseconds.
	MinDelay, MaxDelay time.Duration
}

// connection is the state of the messages from one bus to one other bus.
type connection struct {
	rand     *rand.Rand
	earliest time.Duration // a message is not delivered before this time unless it is reordered
}

// NewNetwork returns a network. The seed determines its faults.
func NewNetwork(seed uint64) *Network {
	return &Network{
		seed:        seed,
		start:       time.Now(),
		group:       map[string]int{},
		blocked:     map[[2]string]bool{},
		connections: map[[2]*Bus]*connection{},
	}
}

// SetFaults sets the faults of the messages that are published from now on. It panics if a
// probability or a delay is invalid.
func (n *Network) SetFaults(f Faults) {
	for _, probability := range []float64{f.Loss, f.Duplicate, f.Reorder, f.Garble} {
		if !(probability >= 0 && probability <= 1) {
			panic(fmt.Sprintf("clustertest: invalid probability: %v", probability))
		}
	}
	if f.MinDelay < 0 || f.MaxDelay < f.MinDelay {
		panic(fmt.Sprintf("clustertest: invalid delay: from %v to %v", f.MinDelay, f.MaxDelay))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Partition divides the network: from now on, messages are delivered only between buses of
// the same group. A group is a list of bus names. The buses that are not listed form one
// more group. A call replaces the previous partition and ends the effect of Block, and a
// call without groups ends the partition. Delayed messages from one group to another are
// also lost.
func (n *Network) Partition(groups ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.group)
	clear(n.blocked)
	for i, names := range groups {
		for _, name := range names {
			n.group[name] = i + 1
		}
	}
}

// Block drops the messages from one bus to another, until the next call of Partition.
// Messages in the other direction are delivered. Delayed messages are also lost.
func (n *Network) Block(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocked[[2]string{from, to}] = true
}

// Tap sets a function that is called for each published message, with the name of the
// publishing bus. The function must not keep the payload and must not call the network.
func (n *Network) Tap(f func(from string, m cluster.Message)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// Bus returns a new bus with this name. It panics if another bus with the same name is not
// closed.
func (n *Network) Bus(name string) *Bus {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.ContainsFunc(n.buses, func(b *Bus) bool { return b.name == name }) {
		panic("clustertest: bus name is already in use: " + name)
	}
	b := &Bus{net: n, name: name, events: cluster.NewBusEvents(), connected: true, maxPayload: 1 << 20}
	b.events.Send(cluster.Connected)
	n.buses = append(n.buses, b)
	return b
}

// send sends a message to all subscribers. The caller holds mu.
func (n *Network) send(from *Bus, subject cluster.Subject, payload []byte) {
	n.sent++
	if n.tap != nil {
		n.tap(from.name, cluster.Message{Subject: subject, Payload: payload})
	}
	for _, to := range n.buses {
		if to.subscribes(subject) && n.reaches(from, to) {
			n.deliver(from, to, cluster.Message{Subject: subject, Payload: payload})
		}
	}
}

// deliver applies the current faults to a message, and delivers it to one bus or schedules
// the delivery. It does not keep the payload.
func (n *Network) deliver(from, to *Bus, m cluster.Message) {
	f := n.faults
	if f == (Faults{}) && n.delayed.empty() {
		to.receive(m)
		return
	}
	c := n.connectionTo(from, to)
	if c.rand.Float64() < f.Loss {
		return
	}
	m.Payload = slices.Clone(m.Payload)
	if c.rand.Float64() < f.Garble && len(m.Payload) > 0 {
		m.Payload[c.rand.IntN(len(m.Payload))] ^= byte(1 + c.rand.IntN(255))
	}
	now := time.Since(n.start)
	copies := 1
	if c.rand.Float64() < f.Duplicate {
		copies = 2
	}
	for i := range copies {
		due := now + f.delay(c.rand)
		switch {
		case c.rand.Float64() < f.Reorder:
			due += f.delay(c.rand) + f.MaxDelay
		case i == 0:
			due = max(due, c.earliest)
			c.earliest = due
		}
		n.delayed.add(n, delivery{due: due, from: from, to: to, n: n.sent, m: m})
	}
}

func (f Faults) delay(r *rand.Rand) time.Duration {
	return f.MinDelay + time.Duration(r.Int64N(int64(f.MaxDelay-f.MinDelay)/int64(time.Millisecond)+1))*time.Millisecond
}

// reaches reports whether messages from one bus reach the other.
func (n *Network) reaches(from, to *Bus) bool {
	return from.connected && to.connected && !from.muted && !n.separated(from, to)
}

// separated reports whether the network drops the messages from one bus to the other.
func (n *Network) separated(from, to *Bus) bool {
	return n.group[from.name] != n.group[to.name] || n.blocked[[2]string{from.name, to.name}]
}

// connectionTo returns the connection from one bus to another and creates it if necessary.
func (n *Network) connectionTo(from, to *Bus) *connection {
	key := [2]*Bus{from, to}
	c := n.connections[key]
	if c == nil {
		c = &connection{rand: rand.New(rand.NewPCG(n.seed, hash(from.name, to.name)))}
		n.connections[key] = c
	}
	return c
}

// hash returns a hash of the names that is the same in every process.
func hash(names ...string) uint64 {
	h := fnv.New64a()
	for _, name := range names {
		h.Write([]byte(name + "\x00"))
	}
	return h.Sum64()
}
