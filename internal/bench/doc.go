// Package bench is the engine side by side with what people use instead, in one run
// on one machine: `make compare`, or go run ./internal/bench/cmd/compare -h for parts of it.
//
// # The peers
//
// Those that servers write for themselves: a mutex and a map, of counts alone and of
// the sets of connections that real hubs hold; the one goroutine that owns everything,
// as in gorilla/websocket's chat example; sync.Map and xsync's Map with an atomic
// counter for each room, which retire a counter before they drop it, for otherwise
// they would keep each room for ever or lose a Join.
//
// And libraries, by their public API, in the newest versions that build with the Go
// that this project supports: centrifuge's memory presence manager (v0.38.0; the
// code is the same in v0.40.1), and the rooms of zishang520/socket.io's adapter
// (v3.0.0-rc.12; what is used of it differs in v3.0.1 by an existence check in a set).
// Both are maintained and under the MIT licence.
//
// centrifuge also counts the clients that subscribe to a channel, cheaply
// (Hub.NumSubscribers), but only those of whole connections: what stands for presence
// is the presence manager, whose PresenceStats walks the members. The two mutexes are
// RWMutexes, which make reads cheaper and changes a little dearer.
//
// Each is driven as its server drives it, with the connection, its id and its client
// info made beforehand. A test has every peer end at the right counts; what one does
// beside counting, or does not do, stands in the table.
//
// # Not among them
//
//   - olahol/melody has no rooms and no count of one: its users keep a key in each
//     session and walk all sessions. A session begins in a websocket's handshake and in
//     no other way, with two goroutines and a queue of its own, so that a figure would be
//     one of handshakes, and 1,000,000 of them fit in no machine.
//   - googollee/go-socket.io is archived. Its rooms are a mutex and a map of maps, the
//     peer "hub, members".
//   - kataras/neffos needs a newer Go than this project, and its rooms a websocket for
//     each connection.
//   - Nakama's tracker counts by stream, and is a part of a game server that cannot be
//     had without its database driver and its scripting languages.
//
// # How it is measured
//
// Each peer has a process to itself for each work, so that none pays for another's
// garbage, and the processes take turns, pass by pass. Ratios are of figures of the
// same pass. Before the next one's turn a process must have come to rest, so that none
// does in another's time what it had put off. A time is that of one Join and one Leave:
// what passed by what all goroutines did, as in `go test -bench`, after as much untimed
// as the engine needs to begin with what it puts off, so that it pays for that too. A
// full run needs some 5 GB of memory and 8 minutes on two cores.
//
// The engine has its default interval, but where one room's event goes to many: there
// it is 0, for the others wait for none. Memory is of maps as they are at that size,
// which for some is soon after they grew and for others just before.
//
// "Full load" is as many goroutines as processors that join and leave other rooms and
// never pause, so that an event has to wait for a processor; how much each peer does
// meanwhile stands beside it. "Steady load" is the same work for all: 50 times
// Join and Leave from each goroutine, every millisecond.
package bench
