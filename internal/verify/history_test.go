package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/occupancy/occupancy"
)

type verb int

const (
	join verb = iota
	leave
	enter
	exit
	current
	local
	get
	connect
	connEnter
	connExit
	connClose
	subscribe
	unsubscribe
	snapshot // the first event: of some moment since Subscribe was called
	closing  // Close is about to be called: from now on it may be seen
	closed   // Close
)

var verbNames = [...]string{
	"Join", "Leave", "Enter", "Exit", "Current", "Local", "Get",
	"Connect", "Conn.Enter", "Conn.Exit", "Conn.Close", "Subscribe", "Unsubscribe", "snapshot", "(closing)", "Close",
}

// call is one operation of a history, and result what it returned.
type call struct {
	verb   verb
	room   int
	handle bool
	id     int // of the lease or subscription
	client int
}

type result struct {
	occupancy occupancy.Occupancy // read, or the snapshot
	err       error
}

func (c call) String() string {
	s := verbNames[c.verb]
	switch {
	case c.verb >= closing:
		return s
	case c.verb == connEnter || c.verb == connExit:
		return fmt.Sprintf("%d.%s(%d)", c.id, s, c.client)
	case c.verb >= connect:
		s = fmt.Sprintf("%d.%s", c.id, s)
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
	return fmt.Sprintf("%d/%d", r.occupancy.Connections, r.occupancy.PresenceMembers)
}

// The model's state has a place for so many of each.
const (
	maxRooms  = 3
	maxLeases = 8
	maxSubs   = 4
	maxClient = 2
)

var roomNames = []string{"room0", "room1", "room2"}

// script says what kind of history to record.
type script struct {
	rooms   int
	callers int
	calls   int    // of each caller
	verbs   []verb // to draw from, some more than once
	limit   int    // rooms at a time
	closes  bool   // one caller closes the engine midway
}

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

// record has concurrent callers do what the script says, and returns what they saw.
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
					do(call{verb: closing}, nil)
					do(call{verb: closed}, nil)
				}
				do(r.draw(rng))
				if rng.IntN(3) == 0 {
					runtime.Gosched() // lets the publisher in, to drop a room
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
		for _, v := range []verb{current, local} {
			for _, handle := range []bool{false, true} {
				all = append(all, r.do(0, call{verb: v, room: room, handle: handle}, nil)...)
			}
		}
	}
	return all
}

// draw picks a call that can be made, and the lease or subscription that it is of.
func (r *recorder) draw(rng *rand.Rand) (call, *ref) {
	for {
		c := call{
			verb:   r.verbs[rng.IntN(len(r.verbs))],
			room:   rng.IntN(r.rooms),
			handle: rng.IntN(2) == 0,
			client: rng.IntN(maxClient),
		}
		var of *ref
		switch c.verb {
		case connect:
			if c.id = int(r.leases.Add(1)) - 1; c.id >= maxLeases {
				continue
			}
			return c, nil
		case subscribe:
			if c.id = int(r.subs.Add(1)) - 1; c.id >= maxSubs {
				continue
			}
			return c, nil
		case connEnter, connExit, connClose:
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

// do makes the call and notes when it began and ended.
func (r *recorder) do(caller int, c call, of *ref) []porcupine.Operation {
	room := r.target.room(roomNames[c.room], c.handle)
	client := [maxClient]string{"ann", "bob"}[c.client]
	made := &ref{id: c.id, room: c.room}
	var res result
	begun := time.Since(r.begun)
	switch c.verb {
	case join:
		res.err = room.Join()
	case leave:
		res.err = room.Leave()
	case enter:
		res.err = room.Enter()
	case exit:
		res.err = room.Exit()
	case current:
		res.occupancy = room.Current()
	case local:
		res.occupancy = room.Local()
	case get:
		res.occupancy, res.err = room.Get(context.Background())
	case connect:
		made.lease, res.err = room.Connect()
	case connEnter:
		res.err = of.lease.Enter(client)
	case connExit:
		res.err = of.lease.Exit(client)
	case connClose:
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
	case made.lease != nil:
		r.lease[c.id%len(r.lease)].Store(made)
	case made.sub != nil:
		first := op
		c.verb = snapshot
		first.Input, first.Output = c, result{occupancy: (<-made.sub.Events()).Occupancy}
		first.Return = int64(time.Since(r.begun))
		r.sub[c.id%len(r.sub)].Store(made) // may be unsubscribed by others only now
		return []porcupine.Operation{op, first}
	}
	return []porcupine.Operation{op}
}
