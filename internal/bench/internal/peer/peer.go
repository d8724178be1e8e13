// Package peer is what counts the connections of rooms: the engine, what servers
// write for themselves, and libraries, each behind the same few methods.
package peer

import (
	"fmt"

	"github.com/centrifugal/centrifuge"

	"github.com/occupancy/occupancy"
)

// Peer counts who is in each room. Its methods may be called from any goroutine. A
// connection joins a room only when it is not in it, and leaves only what it is in.
type Peer interface {
	Join(room string, c *Conn)
	Leave(room string, c *Conn)
	Count(room string) int // as every Join and Leave that has returned left it
	Close()
}

// Teller is a peer that tells subscribers the new count when one changed.
type Teller interface {
	Peer
	Subscribe(room string) Subscription
	Told() uint64 // events handed to subscribers so far; may lag while one is told
}

// Subscription is one listener, of a channel that holds one event.
type Subscription interface {
	Next() int // waits for the next event, and is the count that it tells
	Drain()    // throws away the event that waits, if one does
}

// Conn is one connection, with all that any peer wants to know of one, so that none
// has to make it in a hook. It is in one room at most.
type Conn struct {
	ID    string
	info  *centrifuge.ClientInfo
	lease *occupancy.Lease
}

// NewConn makes the i-th connection.
func NewConn(i int) *Conn {
	id := fmt.Sprintf("conn-%07d", i)
	return &Conn{ID: id, info: &centrifuge.ClientInfo{ClientID: id, UserID: id}}
}

// Maker is how to get a peer.
type Maker struct {
	Name string
	Note string // what it does beside counting, or does not do
	New  func() Peer

	// Tells is New for a peer that tells each change as soon as it can; nil if it
	// tells nobody.
	Tells func() Teller
	// Only is set if it is no peer but a floor, of telling one room's subscribers.
	Only bool
	// LosesJoins is set if a Join of a room that empties at that moment may be lost.
	LosesJoins bool
}

// Engine is the name of the peer that all the others are compared with.
const Engine = "occupancy"

// All is every peer; the engine is the first.
var All = []Maker{
	{Name: Engine, New: newEngine, Tells: newEagerEngine,
		Note: "Join and Leave by name"},
	{Name: "occupancy lease", New: newLeases,
		Note: "Connect and Close: no connection is counted twice"},
	{Name: "hub, counts", New: newHubCounts,
		Note: "RWMutex and a map of counts; tells nobody"},
	{Name: "hub, members", New: newHub, Tells: func() Teller { return newHub().(Teller) },
		Note: "RWMutex and a map of sets: keeps the members"},
	{Name: "channel loop", New: newLoop, Tells: func() Teller { return newLoop().(Teller) },
		Note: "one goroutine owns the sets: keeps the members"},
	{Name: "sync.Map", New: newSyncMap,
		Note: "with an atomic counter a room; tells nobody"},
	{Name: "xsync v4", New: newXsync,
		Note: "Map with an atomic counter a room; tells nobody"},
	{Name: "centrifuge", New: newCentrifuge, Tells: newCentrifugeNode,
		Note: "memory presence manager: keeps each client's info, counts distinct users when read, encodes and queues events"},
	{Name: "socket.io", New: newSocketIO, LosesJoins: true,
		Note: "zishang520's adapter: keeps members by room and rooms by member; may lose a Join to a room that just empties"},
	{Name: "bare sends", Tells: newBare, Only: true,
		Note: "no peer but a floor: sends to a slice of channels"},
}

// Named is the maker of that name.
func Named(name string) (Maker, bool) {
	for _, m := range All {
		if m.Name == name {
			return m, true
		}
	}
	return Maker{}, false
}

// feed is a subscription that is a channel.
type feed[E any] struct {
	events <-chan E
	count  func(E) int
}

func (f feed[E]) Next() int { return f.count(<-f.events) }

func (f feed[E]) Drain() {
	select {
	case <-f.events:
	default:
	}
}

func itself(n int) int { return n }

// offer sends if the subscriber has read the event before; otherwise this one is lost
// to it, as it is in the servers that this is the shape of.
func offer(events chan<- int, n int) bool {
	select {
	case events <- n:
		return true
	default:
		return false
	}
}
