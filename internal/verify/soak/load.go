package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/occupancy/occupancy"
)

// caller joins and leaves rooms like many clients of a server. It records the counts that
// it has added.
type caller struct {
	r       *round
	rng     *rand.Rand
	zipf    *rand.Zipf
	handles []*occupancy.Room
	added   []occupancy.Occupancy // counts added to each room by hooks
	leases  []*openLease
	visits  int          // number of rooms that only this caller used
	staying []*openLease // open leases of these rooms, the oldest first
	id      int
}

type openLease struct {
	lease   *occupancy.Lease
	room    string
	clients map[string]bool
}

const (
	maxLeases  = 200 // maximum number of open leases of one caller
	maxStaying = 50  // maximum number of open leases in rooms that only this caller uses
	batch      = 64  // calls between two checks of the context
)

var clients = []string{"ann", "bob", "eve"}

func (r *round) startCaller(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.n<<16|id)))
	c := &caller{
		r: r, id: id, rng: rng,
		zipf:  rand.NewZipf(rng, 1.1, 1, uint64(r.rooms-1)),
		added: make([]occupancy.Occupancy, r.rooms),
	}
	for _, name := range r.names {
		c.handles = append(c.handles, r.e.Room(name))
	}
	r.callers = append(r.callers, c)
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			for range batch {
				c.step()
			}
			r.calls.Add(batch)
		}
	})
}

func (c *caller) step() {
	room := int(c.zipf.Uint64())
	switch n := c.rng.IntN(100); {
	case n < 40:
		c.callRandomHook(room)
	case n < 80:
		c.useLease(room)
	case n < 95:
		c.visit()
	default:
		if err := c.r.e.Leave(fmt.Sprintf("none/%d", room)); err != occupancy.ErrNotJoined {
			c.r.fail("Leave of an unknown room: %v", err)
		}
	}
}

// callRandomHook calls Join, Leave, Enter or Exit, by name or by handle. It removes only
// what this caller has added.
func (c *caller) callRandomHook(room int) {
	e, name, h, added := c.r.e, c.r.names[room], c.handles[room], &c.added[room]
	byName := c.rng.IntN(2) == 0
	const client = "client"
	var err error
	switch c.rng.IntN(4) {
	case 0:
		err = callEither(byName, func() error { return e.Join(name) }, h.Join)
		added.Connections++
	case 1:
		if added.Connections > 0 {
			err = callEither(byName, func() error { return e.Leave(name) }, h.Leave)
			added.Connections--
		}
	case 2:
		err = callEither(byName, func() error { return e.Enter(name, client) }, func() error { return h.Enter(client) })
		added.PresenceMembers++
	case 3:
		if added.PresenceMembers > 0 {
			err = callEither(byName, func() error { return e.Exit(name, client) }, func() error { return h.Exit(client) })
			added.PresenceMembers--
		}
	}
	if err != nil {
		c.r.fail("a hook of %s: %v", name, err)
	}
}

// callEither calls the first function if byName is true, otherwise the second.
func callEither(byName bool, name, handle func() error) error {
	if byName {
		return name()
	}
	return handle()
}

// useLease opens, uses or closes a lease.
func (c *caller) useLease(room int) {
	if n := len(c.leases); n < maxLeases && (n == 0 || c.rng.IntN(3) == 0) {
		lease, err := c.handles[room].Connect()
		if err != nil {
			c.r.fail("Connect to %s: %v", c.r.names[room], err)
			return
		}
		c.leases = append(c.leases, &openLease{lease, c.r.names[room], map[string]bool{}})
		return
	}
	i := c.rng.IntN(len(c.leases))
	l, client := c.leases[i], clients[c.rng.IntN(len(clients))]
	var got, want error
	switch c.rng.IntN(4) {
	case 0, 1:
		got = l.lease.Enter(client)
		l.clients[client] = true
	case 2:
		if !l.clients[client] {
			want = occupancy.ErrNotEntered
		}
		got = l.lease.Exit(client)
		delete(l.clients, client)
	case 3:
		got = l.lease.Close()
		last := len(c.leases) - 1
		c.leases[i] = c.leases[last]
		c.leases = c.leases[:last]
	}
	if got != want {
		c.r.fail("a lease of %s: error %v, want %v", l.room, got, want)
	}
}

// visit opens a lease of a room with a new name. It usually closes the lease before the
// engine publishes an event of the room. Sometimes it keeps the lease, and closes the oldest
// kept lease instead.
func (c *caller) visit() {
	c.visits++
	room := fmt.Sprintf("visit/%d/%d/%d", c.r.n, c.id, c.visits)
	lease, err := c.r.e.Connect(room)
	if err != nil {
		c.r.fail("Connect to %s: %v", room, err)
		return
	}
	if err := lease.Enter("ann"); err != nil {
		c.r.fail("Enter of %s: %v", room, err)
	}
	if got := c.r.e.Current(room); got != (occupancy.Occupancy{Connections: 1, PresenceMembers: 1}) {
		c.r.fail("%s: Current is %+v, want one connection and one member", room, got)
	}
	visitor := &openLease{lease, room, map[string]bool{"ann": true}}
	if c.visits%16 == 0 {
		if c.staying = append(c.staying, visitor); len(c.staying) <= maxStaying {
			return
		}
		visitor, c.staying = c.staying[0], c.staying[1:]
	}
	if err := visitor.lease.Close(); err != nil {
		c.r.fail("Close of %s: %v", visitor.room, err)
	}
}

// counts returns what the caller has added to each room.
func (c *caller) counts() map[string]occupancy.Occupancy {
	b := map[string]occupancy.Occupancy{}
	for room, o := range c.added {
		b[c.r.names[room]] = o
	}
	for _, l := range slices.Concat(c.leases, c.staying) {
		b[l.room] = plus(b[l.room], occupancy.Occupancy{Connections: 1, PresenceMembers: len(l.clients)})
	}
	return b
}

// removeAll removes everything that the caller has added.
func (c *caller) removeAll() {
	for room, o := range c.added {
		for range o.Connections {
			if err := c.handles[room].Leave(); err != nil {
				c.r.fail("the last Leave of %s: %v", c.r.names[room], err)
			}
		}
		for range o.PresenceMembers {
			if err := c.handles[room].Exit("client"); err != nil {
				c.r.fail("the last Exit of %s: %v", c.r.names[room], err)
			}
		}
	}
	for _, l := range slices.Concat(c.leases, c.staying) {
		if err := l.lease.Close(); err != nil {
			c.r.fail("the last Close of %s: %v", l.room, err)
		}
	}
}

// node simulates another node of the cluster. It sets counts with a Remote, and sometimes
// closes the Remote and opens a new one.
type node struct {
	remote *occupancy.Remote
	parts  map[string]occupancy.Occupancy
}

func (r *round) startNode(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.n<<16|id|1<<8)))
	n := &node{r.link.Remote("node"), map[string]occupancy.Occupancy{}}
	r.nodes = append(r.nodes, n)
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			if rng.IntN(1000) == 0 {
				_ = n.remote.Close()
				if err := n.remote.Set(occupancy.Part{Room: "room/0"}); err != occupancy.ErrClosed {
					r.fail("Set after Close: %v", err)
				}
				n.remote, n.parts = r.link.Remote("node"), map[string]occupancy.Occupancy{}
			}
			for range batch {
				room := r.names[rng.IntN(len(r.names))]
				o := occupancy.Occupancy{Connections: rng.IntN(3), PresenceMembers: rng.IntN(3)}
				if err := n.remote.Set(occupancy.Part{Room: room, Occupancy: o}); err != nil {
					r.fail("Set of %s: %v", room, err)
				}
				n.parts[room] = o
			}
			r.calls.Add(batch)
			pause(ctx, r.interval/10) // as often as a cluster sends its counts
		}
	})
}
