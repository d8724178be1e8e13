package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/occupancy/occupancy"
)

type method int

const (
	join method = iota
	leave
	enter
	exit
	current
	local
	get
	checking // Connect looks for a lease to take over, before it counts
	connect
	leaseEnter
	leaseExit
	leaseLinger
	ending // Close ends the lingering, before it counts
	leaseClose
	subscribe
	unsubscribe
	snapshot // the first event, whose value is of a moment since Subscribe was called
	closing  // Close is about to be called and may take effect from now on
	closed   // Close
)

var methodNames = [...]string{
	"Join", "Leave", "Enter", "Exit", "Current", "Local", "Get",
	"(checking)", "Connect", "Lease.Enter", "Lease.Exit", "Lease.Linger", "(ending)", "Lease.Close", "Subscribe", "Unsubscribe", "snapshot", "(closing)", "Close",
}

// call is one operation of a history. result is what it returned.
type call struct {
	method method
	room   int
	handle bool
	id     int // of the lease or subscription
	client int

	as      []int // clients, of a Connect
	most    int   // of a Connect; or noMax
	checks  bool  // of a Connect: the history has the call checking, too
	briefly bool  // of a Linger: it ends at once
}

type result struct {
	occupancy occupancy.Occupancy // of a read or a snapshot
	err       error
}

func (c call) String() string {
	s := methodNames[c.method]
	switch {
	case c.method >= closing:
		return s
	case c.method == leaseEnter || c.method == leaseExit:
		return fmt.Sprintf("%d.%s(%d)", c.id, s, c.client)
	case c.method == leaseLinger:
		return fmt.Sprintf("%d.%s(briefly=%v)", c.id, s, c.briefly)
	case c.method >= checking:
		s = fmt.Sprintf("%d.%s", c.id, s)
		if c.method <= connect {
			s += fmt.Sprintf(" as %v, at most %d,", c.as, c.most)
		}
	case c.method == enter || c.method == exit:
		s += fmt.Sprint(" ", c.client)
	}
	if c.handle {
		return fmt.Sprintf("room%d.%s", c.room, s)
	}
	return fmt.Sprintf("%s(room%d)", s, c.room)
}

func (r result) String() string {
	if r.err != nil {
		return r.err.Error()
	}
	return fmt.Sprintf("%d/%d/%d", r.occupancy.Connections, r.occupancy.PresenceMembers, r.occupancy.Users)
}

// The state of the model has room for so many of each.
const (
	maxRooms  = 3
	maxLeases = 8
	maxSubs   = 4
	maxClient = 2
)

var (
	roomNames   = []string{"room0", "room1", "room2"}
	clientNames = [maxClient]string{"ann", "bob"}
)

// script describes a kind of history.
type script struct {
	rooms   int
	callers int
	calls   int      // of each caller
	methods []method // drawn at random, some are listed more than once
	limit   int      // of WithMaxRooms
	users   bool     // WithUsers
	as      bool     // Connect has clients
	most    int      // of a Connect at most, drawn from 1; 0: no limit
	closes  bool     // one caller closes the engine in the middle
}

// lingers reports whether leases linger.
func (s script) lingers() bool { return slices.Contains(s.methods, leaseLinger) }

// ref is a lease or a subscription that any caller may use.
type ref struct {
	id, room int
	lease    lease
	sub      *occupancy.Subscription
}

type recorder struct {
	script
	target target
	begun  time.Time

	leases, subs atomic.Int64 // begun
	lease        [2]atomic.Pointer[ref]
	sub          [2]atomic.Pointer[ref]
}

// record runs the concurrent callers of the script and returns their calls and results.
func record(s script, t target, seed uint64) []porcupine.Operation {
	r := &recorder{script: s, target: t, begun: time.Now()}
	histories := make([][]porcupine.Operation, s.callers)
	var wg sync.WaitGroup
	var ready atomic.Int64
	for i := range s.callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			do := func(c call, of *ref) { histories[i] = append(histories[i], r.do(i, c, of)...) }
			for ready.Add(1); ready.Load() < int64(s.callers); {
				runtime.Gosched()
			}
			for n := range s.calls {
				if s.closes && i == 0 && n == s.calls/2 {
					do(call{method: closing}, nil)
					do(call{method: closed}, nil)
				}
				do(r.draw(rng))
				if rng.IntN(3) == 0 {
					runtime.Gosched() // so that the publisher can drop a room
				}
			}
		})
	}
	wg.Wait()
	var all []porcupine.Operation
	for _, h := range histories {
		all = append(all, h...)
	}
	for room := range s.rooms {
		for _, v := range []method{current, local} {
			for _, handle := range []bool{false, true} {
				all = append(all, r.do(0, call{method: v, room: room, handle: handle}, nil)...)
			}
		}
	}
	return all
}

// draw draws a call that is possible, and its lease or subscription.
func (r *recorder) draw(rng *rand.Rand) (call, *ref) {
	for {
		c := call{
			method: r.methods[rng.IntN(len(r.methods))],
			room:   rng.IntN(r.rooms),
			handle: rng.IntN(2) == 0,
			client: rng.IntN(maxClient),
		}
		var of *ref
		switch c.method {
		case connect:
			if c.id = int(r.leases.Add(1)) - 1; c.id >= maxLeases {
				continue
			}
			if r.as {
				c.as = [][]int{nil, {0}, {0}, {1}, {0, 1}, {1, 0}}[rng.IntN(6)]
			}
			if c.most = noMax; r.most > 0 {
				c.most = 1 + rng.IntN(r.most)
			}
			c.checks = r.lingers()
			return c, nil
		case subscribe:
			if c.id = int(r.subs.Add(1)) - 1; c.id >= maxSubs {
				continue
			}
			return c, nil
		case leaseEnter, leaseExit, leaseLinger, leaseClose:
			c.briefly = rng.IntN(2) == 0
			of = r.lease[rng.IntN(len(r.lease))].Load()
		case unsubscribe:
			of = r.sub[rng.IntN(len(r.sub))].Load()
		default:
			return c, nil
		}
		if of != nil {
			c.id, c.room, c.handle = of.id, of.room, false
			return c, of
		}
	}
}

// do makes the call and records when it began and ended.
func (r *recorder) do(caller int, c call, of *ref) []porcupine.Operation {
	room := r.target.room(roomNames[c.room], c.handle)
	client := clientNames[c.client]
	made := &ref{id: c.id, room: c.room}
	var res result
	begun := time.Since(r.begun)
	switch c.method {
	case join:
		res.err = room.Join()
	case leave:
		res.err = room.Leave()
	case enter:
		res.err = room.Enter(client)
	case exit:
		res.err = room.Exit(client)
	case current:
		res.occupancy = room.Current()
	case local:
		res.occupancy = room.Local()
	case get:
		res.occupancy, res.err = room.Get(context.Background())
	case connect:
		o := options{most: c.most}
		for _, client := range c.as {
			o.as = append(o.as, clientNames[client])
		}
		made.lease, res.err = room.Connect(o)
	case leaseEnter:
		res.err = of.lease.Enter(client)
	case leaseExit:
		res.err = of.lease.Exit(client)
	case leaseLinger:
		d := time.Hour
		if c.briefly {
			d = 1
		}
		of.lease.Linger(d)
	case leaseClose:
		res.err = of.lease.Close()
	case subscribe:
		made.sub, res.err = room.Subscribe()
	case unsubscribe:
		of.sub.Unsubscribe()
	case closed:
		res.err = r.target.Close()
	}
	op := porcupine.Operation{
		ClientId: caller, Input: c, Output: res, Call: int64(begun), Return: int64(time.Since(r.begun)),
	}
	switch {
	case c.method == connect:
		if made.lease != nil {
			r.lease[c.id%len(r.lease)].Store(made)
		}
		if c.checks {
			return []porcupine.Operation{firstStep(op, checking), op}
		}
	case c.method == leaseClose && r.lingers():
		return []porcupine.Operation{firstStep(op, ending), op}
	case made.sub != nil:
		first := op
		c.method = snapshot
		first.Input, first.Output = c, result{occupancy: (<-made.sub.Events()).Occupancy}
		first.Return = int64(time.Since(r.begun))
		r.sub[c.id%len(r.sub)].Store(made) // from now on another caller may unsubscribe
		return []porcupine.Operation{op, first}
	}
	return []porcupine.Operation{op}
}

// firstStep returns the first step of a call that takes effect in two.
func firstStep(op porcupine.Operation, first method) porcupine.Operation {
	c := op.Input.(call)
	c.method = first
	op.Input = c
	return op
}
