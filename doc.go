// Package occupancy tells a chat server, at any moment and at almost no cost, how
// many connections and how many presence members each of its rooms has, and tells
// whoever listens when that changes.
//
// A server calls [Engine.Connect] for each connection to a room and closes the
// [Conn] when the connection ends; or, where that fits better, the four hooks
// [Engine.Join], [Engine.Leave], [Engine.Enter] and [Engine.Exit]:
//
//	connection   one attachment to a room; a user with two tabs is two
//	member       a client that has entered the room's presence set by a connection
//	occupancy    the pair of both counts, always read together
//
// A room needs no creation. It exists while anyone is in it, subscribes to it or a
// peer node reports it, and costs nothing after.
//
// [Engine.Current] reads a room, [Engine.All] every room, [Engine.Stats] the totals.
// [Engine.Subscribe] tells of one room: what it is now, and then what it became, at
// once after quiet and no more often than the engine's interval. [Engine.Watch]
// tells of all rooms, at the reader's pace. Neither ever delays a hook.
//
// # Promises
//
//  1. Counts are exact: after the hooks return they are what the accepted calls add
//     up to, whatever the interleaving. A refused call changes nothing.
//  2. Subscribe starts with a snapshot, and nothing that changes after it is missed.
//  3. The last word is always delivered, no later than one interval on. Values in
//     between may be folded into newer ones, but are never reordered.
//  4. The first change after quiet is told at once. A change that undoes itself within
//     the interval is not told.
//  5. Nobody waits for a subscriber. One that does not read holds one event, the newest.
//  6. A watcher misses no room.
//  7. Quiet costs nothing: no ticker, no wake-up, no allocation while nothing changes.
//     An emptied room's memory comes back.
//  8. Bad input gets an error and changes nothing.
//  9. After Close, whatever can return an error returns ErrClosed, and Current still
//     reads.
//
// All methods of all types may be called from any goroutine.
package occupancy
