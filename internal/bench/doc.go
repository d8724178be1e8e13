// Package bench compares the engine with the alternatives, in one run on one machine. The
// command `make compare` runs the whole comparison, and the options of
// internal/bench/cmd/compare select a part. The results are in docs/benchmarks.md and
// results/.
//
// # Implementations
//
// Some implementations are code that chat servers commonly contain:
//
//   - "hub, counts" is a mutex and a map of counts. "hub, members" is a mutex and a map of
//     the sets of connections, as in real hubs. Both use an RWMutex, which makes reads
//     cheaper and changes a little more expensive than a Mutex.
//   - "channel loop" is one goroutine that owns the sets and receives commands from a
//     channel, as in the chat example of gorilla/websocket.
//   - "sync.Map" and "xsync v4" are concurrent maps with an atomic counter for each room.
//     They retire a counter before they remove it from the map. Without this step, a map
//     must keep every room forever, or can lose a Join.
//
// Two implementations are libraries. The benchmarks use the public API of the newest
// versions that build with the Go version of this project. Both libraries are maintained
// and have the MIT licence.
//
//   - "centrifuge" is the memory presence manager of centrifuge v0.38.0, whose code is the
//     same in v0.40.1. Its PresenceStats walks the members of a channel. centrifuge also
//     has a cheap count of the clients that subscribe to a channel, Hub.NumSubscribers.
//     This number does not count presence members, so it is not compared.
//   - "socket.io" is the adapter of zishang520/socket.io v3.0.0-rc.12. In v3.0.1, the
//     adapter makes the same calls for a Join, a Leave and a read. Only details of its maps
//     and sets differ: for example, Set.Add no longer checks first whether the set contains
//     the key.
//
// The benchmarks call each implementation as a server does. They create the connections,
// with their IDs and client infos, before the measurement. A test verifies that every
// implementation counts correctly. The tables describe each implementation: which work it
// does in addition to counting, and whether it sends events.
//
// # Not compared
//
//   - olahol/melody has no rooms and no counts: programs store a key in each session and
//     walk all sessions. Only a websocket handshake creates a session, and a session has
//     two goroutines and a queue. So a benchmark measures mainly handshakes, and 1,000,000
//     sessions need more memory than a usual machine has.
//   - googollee/go-socket.io is archived. Its rooms are a mutex and a map of maps, like
//     "hub, members".
//   - kataras/neffos needs a newer Go version than this project. Its rooms need a websocket
//     for each connection.
//   - The tracker of Nakama counts the presences of each stream. It is part of a game
//     server and cannot be imported without the server's database driver and scripting
//     languages.
//
// # Method
//
// For each workload, each implementation runs in a separate process, so that the garbage
// of one implementation does not slow down the next implementation. The processes take
// turns after each pass, and ratios are computed between figures of the same pass. A
// process starts its pass only when the previous process is idle, so that deferred work
// of one implementation does not slow down the next implementation.
//
// The time of a Join and a Leave is the elapsed time divided by the number of operations
// of all goroutines, as in `go test -bench`. The engine defers most publishing to the end
// of its interval. Therefore each measurement starts after a warm-up that is longer than the
// interval. During the measurement the engine publishes the changes of the warm-up, so the
// measured time includes publishing. A complete run needs about 5 GB of memory and takes
// about 8 minutes on two cores.
//
// The engine has its default interval. Only in the fan-out workload it has the interval 0,
// because the other implementations have no interval. A map that has just grown has much
// unused memory, so with a different number of rooms the ratios of memory can be different.
//
// The latency of events is measured without other work ("idle") and under two loads. Both
// loads have a goroutine for each processor, which joins and leaves other rooms. With
// "fixed load" each goroutine does 50 Joins and Leaves and then pauses for a millisecond.
// This is the same work for every implementation. With "full load" the goroutines never
// pause, so that an event has to wait for a processor. The implementations then do
// different amounts of work, so the tables also show the time of a Join and a Leave.
package bench
