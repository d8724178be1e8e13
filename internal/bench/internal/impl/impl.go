// Package impl contains the compared implementations: the engine, code that chat servers
// commonly contain, and libraries. All have the same interfaces.
package impl

import (
	"fmt"

	"github.com/centrifugal/centrifuge"

	"github.com/occupancy/occupancy"
)

// Counter counts the connections of each room. Its methods may be called from any
// goroutine. The caller must not join a room twice with one connection, or leave a room
// that the connection has not joined.
type Counter interface {
	Join(room string, c *Conn)
	Leave(room string, c *Conn)
	Count(room string) int // includes every Join and Leave that has returned
	Close()
}

// Notifier is a Counter that sends the new count of a room to its subscribers.
type Notifier interface {
	Counter
	Subscribe(room string) Subscription
	Delivered() uint64 // events sent to subscribers so far; may lag during a send
}

// Watchable is a Counter that can report the changes of all rooms.
type Watchable interface {
	Counter
	// Watch starts a goroutine that calls f with the newest count of each changed room,
	// until Close. It must be called before the other methods, at most once.
	Watch(f func(room string, count int))
}

// Subscription receives the events of one room. It holds at most one unread event.
type Subscription interface {
	Next() int // blocks until there is an event and returns its count
	Drain()    // discards the unread event, if there is one
}

// Conn is a connection, with the data that the implementations need. It is created before
// the measurement. A Conn is in at most one room.
type Conn struct {
	ID    string
	info  *centrifuge.ClientInfo
	lease *occupancy.Lease
}

// NewConn creates a connection with the number i in its ID.
func NewConn(i int) *Conn {
	id := fmt.Sprintf("conn-%07d", i)
	return &Conn{ID: id, info: &centrifuge.ClientInfo{ClientID: id, UserID: id}}
}

// Spec describes an implementation and creates instances of it.
type Spec struct {
	Name string
	Note string // the description in the tables

	// NewCounter is nil for a baseline that only sends events.
	NewCounter func() Counter
	// NewNotifier returns an instance that publishes each change as soon as it can. It
	// is nil if the implementation sends no events.
	NewNotifier func() Notifier
	// Watchable reports that NewCounter returns a Watchable.
	Watchable bool
	// LosesJoins reports that a Join may be lost if the room empties at the same time.
	LosesJoins bool
}

// Engine is the name of this project's engine. The tables show ratios to its figures.
const Engine = "occupancy"

// All lists every implementation, the engine first.
var All = []Spec{
	{Name: Engine, NewCounter: newEngine, NewNotifier: newImmediateEngine, Watchable: true,
		Note: "Join and Leave by room name"},
	{Name: "occupancy lease", NewCounter: newLeaseEngine, Watchable: true,
		Note: "Connect and Close of a lease, which never counts a connection twice"},
	{Name: "hub, counts", NewCounter: newCountHub,
		Note: "RWMutex and a map of counts; sends no events"},
	{Name: "hub, members", NewCounter: func() Counter { return newHub() }, NewNotifier: func() Notifier { return newHub() }, Watchable: true,
		Note: "RWMutex and a map of member sets"},
	{Name: "channel loop", NewCounter: func() Counter { return newLoop() }, NewNotifier: func() Notifier { return newLoop() }, Watchable: true,
		Note: "one goroutine owns the map of member sets"},
	{Name: "sync.Map", NewCounter: newSyncMap,
		Note: "sync.Map with an atomic counter per room; sends no events"},
	{Name: "xsync v4", NewCounter: newXsyncMap,
		Note: "xsync's Map with an atomic counter per room; sends no events"},
	{Name: "centrifuge", NewCounter: newPresenceCounter, NewNotifier: newCentrifugeNode,
		Note: "memory presence manager: stores the info of each client, counts distinct users at each read, encodes and queues events"},
	{Name: "socket.io", NewCounter: newSocketIO, LosesJoins: true,
		Note: "zishang520's adapter: stores the members of each room and the rooms of each member; may lose a Join to a room that empties at the same time"},
	{Name: "bare sends", NewNotifier: newBareSends,
		Note: "the baseline for events: sends to each channel of a slice"},
}

// ByName returns the implementation with the given name.
func ByName(name string) (Spec, bool) {
	for _, s := range All {
		if s.Name == name {
			return s, true
		}
	}
	return Spec{}, false
}

// subscription is a Subscription that reads from a channel.
type subscription[E any] struct {
	events <-chan E
	count  func(E) int // returns the count in an event
}

func (s subscription[E]) Next() int { return s.count(<-s.events) }

func (s subscription[E]) Drain() {
	select {
	case <-s.events:
	default:
	}
}

// subscribeTo returns a subscription to a channel of counts.
func subscribeTo(events <-chan int) Subscription {
	return subscription[int]{events, func(n int) int { return n }}
}

// trySend reports whether it sent n. If the channel is full, trySend drops n, as many chat
// servers do.
func trySend(events chan<- int, n int) bool {
	select {
	case events <- n:
		return true
	default:
		return false
	}
}
