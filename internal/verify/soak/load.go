package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/occupancy/occupancy"
)

// churner comes and goes in rooms, as many clients of a server do, and keeps a book.
type churner struct {
	r       *round
	rng     *rand.Rand
	zipf    *rand.Zipf
	handles []*occupancy.Room
	raw     []occupancy.Occupancy // by room: what it counted with hooks
	leases  []*tenancy
	fresh   int        // rooms of its own so far
	staying []*tenancy // in such rooms, the oldest first
	id      int
}

type tenancy struct {
	conn    *occupancy.Conn
	room    string
	clients map[string]bool
}

const (
	patrons = 200 // leases of one churner at a time
	guests  = 50  // and in rooms of its own
	between = 64  // calls between two looks at the clock
)

var clients = []string{"ann", "bob", "eve"}

func (r *round) churn(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.n<<16|id)))
	c := &churner{
		r: r, id: id, rng: rng,
		zipf: rand.NewZipf(rng, 1.1, 1, uint64(r.rooms-1)),
		raw:  make([]occupancy.Occupancy, r.rooms),
	}
	for _, name := range r.names {
		c.handles = append(c.handles, r.e.Room(name))
	}
	r.churners = append(r.churners, c)
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			for range between {
				c.step()
			}
			r.calls.Add(between)
		}
	})
}

func (c *churner) step() {
	room := int(c.zipf.Uint64())
	switch n := c.rng.IntN(100); {
	case n < 40:
		c.hook(room)
	case n < 80:
		c.lease(room)
	case n < 95:
		c.visit()
	default:
		if err := c.r.e.Leave(fmt.Sprintf("none/%d", room)); err != occupancy.ErrNotJoined {
			c.r.fail("Leave of a room that never was: %v", err)
		}
	}
}

// hook calls one of the four, by name or by handle; only what it counted is taken back.
func (c *churner) hook(room int) {
	e, name, h, raw := c.r.e, c.r.names[room], c.handles[room], &c.raw[room]
	byName := c.rng.IntN(2) == 0
	pick := func(name func(string) error, handle func() error) error {
		if byName {
			return name(c.r.names[room])
		}
		return handle()
	}
	var err error
	switch c.rng.IntN(4) {
	case 0:
		err = pick(e.Join, h.Join)
		raw.Connections++
	case 1:
		if raw.Connections > 0 {
			err = pick(e.Leave, h.Leave)
			raw.Connections--
		}
	case 2:
		err = pick(e.Enter, h.Enter)
		raw.PresenceMembers++
	case 3:
		if raw.PresenceMembers > 0 {
			err = pick(e.Exit, h.Exit)
			raw.PresenceMembers--
		}
	}
	if err != nil {
		c.r.fail("a hook of %s: %v", name, err)
	}
}

// lease takes a lease, uses one or gives one back.
func (c *churner) lease(room int) {
	if n := len(c.leases); n < patrons && (n == 0 || c.rng.IntN(3) == 0) {
		conn, err := c.handles[room].Connect()
		if err != nil {
			c.r.fail("Connect to %s: %v", c.r.names[room], err)
			return
		}
		c.leases = append(c.leases, &tenancy{conn, c.r.names[room], map[string]bool{}})
		return
	}
	i := c.rng.IntN(len(c.leases))
	l, client := c.leases[i], clients[c.rng.IntN(len(clients))]
	var got, want error
	switch c.rng.IntN(4) {
	case 0, 1:
		got = l.conn.Enter(client)
		l.clients[client] = true
	case 2:
		if !l.clients[client] {
			want = occupancy.ErrNotEntered
		}
		got = l.conn.Exit(client)
		delete(l.clients, client)
	case 3:
		got = l.conn.Close()
		last := len(c.leases) - 1
		c.leases[i] = c.leases[last]
		c.leases = c.leases[:last]
	}
	if got != want {
		c.r.fail("a lease of %s: %v, not %v", l.room, got, want)
	}
}

// visit begins a room that never was, and ends it: at once, so that nobody is told,
// or after a while.
func (c *churner) visit() {
	c.fresh++
	room := fmt.Sprintf("visit/%d/%d/%d", c.r.n, c.id, c.fresh)
	conn, err := c.r.e.Connect(room)
	if err != nil {
		c.r.fail("Connect to %s: %v", room, err)
		return
	}
	if err := conn.Enter("ann"); err != nil {
		c.r.fail("Enter of %s: %v", room, err)
	}
	if got := c.r.e.Current(room); got != (occupancy.Occupancy{Connections: 1, PresenceMembers: 1}) {
		c.r.fail("%s, which one visits, has %+v", room, got)
	}
	guest := &tenancy{conn, room, map[string]bool{"ann": true}}
	if c.fresh%16 == 0 {
		if c.staying = append(c.staying, guest); len(c.staying) <= guests {
			return
		}
		guest, c.staying = c.staying[0], c.staying[1:]
	}
	if err := guest.conn.Close(); err != nil {
		c.r.fail("Close of %s: %v", guest.room, err)
	}
}

// book is what the churner counts.
func (c *churner) book() map[string]occupancy.Occupancy {
	b := map[string]occupancy.Occupancy{}
	for room, o := range c.raw {
		b[c.r.names[room]] = o
	}
	for _, l := range slices.Concat(c.leases, c.staying) {
		b[l.room] = plus(b[l.room], occupancy.Occupancy{Connections: 1, PresenceMembers: len(l.clients)})
	}
	return b
}

// leave takes all back.
func (c *churner) leave() {
	for room, o := range c.raw {
		for range o.Connections {
			if err := c.handles[room].Leave(); err != nil {
				c.r.fail("the last Leave of %s: %v", c.r.names[room], err)
			}
		}
		for range o.PresenceMembers {
			if err := c.handles[room].Exit(); err != nil {
				c.r.fail("the last Exit of %s: %v", c.r.names[room], err)
			}
		}
	}
	for _, l := range slices.Concat(c.leases, c.staying) {
		if err := l.conn.Close(); err != nil {
			c.r.fail("the last Close of %s: %v", l.room, err)
		}
	}
}

// node is another node's part, which is set all the time and now and then begun anew.
type node struct {
	remote *occupancy.Remote
	parts  map[string]occupancy.Occupancy
}

func (r *round) link(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.n<<16|id|1<<8)))
	n := &node{r.e.Remote("node"), map[string]occupancy.Occupancy{}}
	r.nodes = append(r.nodes, n)
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			if rng.IntN(1000) == 0 {
				n.remote.Close()
				if err := n.remote.Set("room/0", occupancy.Occupancy{}); err != occupancy.ErrClosed {
					r.fail("Set after Close: %v", err)
				}
				n.remote, n.parts = r.e.Remote("node"), map[string]occupancy.Occupancy{}
			}
			for range between {
				room := r.names[rng.IntN(len(r.names))]
				o := occupancy.Occupancy{Connections: rng.IntN(3), PresenceMembers: rng.IntN(3)}
				if err := n.remote.Set(room, o); err != nil {
					r.fail("Set of %s: %v", room, err)
				}
				n.parts[room] = o
			}
			r.calls.Add(between)
			pause(ctx, r.interval/10) // one link has so much to say
		}
	})
}
