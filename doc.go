// Package occupancy counts, for a chat server, the connections, presence members and users of
// each of its rooms. The counts can be read at any moment at almost no cost, and
// subscribers are notified when they change.
//
// A server calls [Engine.Connect] for each connection to a room, and closes the [Lease]
// when the connection ends. A server that does its own bookkeeping may instead call
// [Engine.Join], [Engine.Leave], [Engine.Enter] and [Engine.Exit]. These four methods are
// called hooks, because the server calls them where its connections begin and end. A
// [Session] manages the leases of a client that is in many rooms.
//
//	connection        one attachment to a room; a user with two tabs is two connections
//	presence member   a (connection, client ID) pair that has entered the room's presence set
//	user              a distinct client ID among the presence members, counted by an engine WithUsers
//	occupancy         the counts of a room, always read together as one consistent value
//	event             a notification of a room's new occupancy
//
// A room is not created explicitly: it exists while it has connections or members, is
// subscribed to, or is reported by another node. Afterwards it uses no memory.
//
// [Engine.Current] reads one room, [Engine.All] every room, [Engine.Stats] the totals.
// [Engine.Subscribe] notifies of the changes of one room, and [Engine.Watch] of those of
// all rooms. Neither delays a hook.
//
// # Promises
//
//  1. Counts are exact. When the hooks have returned, the counts equal the sum of the
//     accepted calls, for every interleaving. A refused call changes nothing. Users never
//     exceed members.
//  2. A subscription starts with a snapshot, and no later change is missed.
//  3. The last value is always delivered, within one interval. Earlier values may be
//     folded into later ones, but are never reordered.
//  4. The first change after a quiet interval is published immediately. A change that is
//     undone within the interval is not published.
//  5. A slow subscriber affects nobody else. A subscriber that does not read holds one
//     event, the newest.
//  6. A watcher misses no room, and keeps no more than the rooms that it knows and those
//     that exist.
//  7. An idle engine costs nothing: no ticker, no wake-up and no allocation while nothing
//     changes. The memory of emptied rooms is released.
//  8. Invalid input returns an error and changes nothing.
//  9. After Close, every method that can return an error returns ErrClosed, except Close
//     methods, which return nil. Current still works.
//  10. A client that reconnects in time never left. While its lease lingers, it remains
//     counted, and its next lease takes over the place in one step: no count changes, and no
//     event is published. If it enters the room on another node, the lease ends when
//     the link reports that. See [Lease.Linger] and [WithUserHash].
//
// All methods of all types may be called from any goroutine. A context must not be nil.
package occupancy
