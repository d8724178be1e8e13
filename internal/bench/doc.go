// Package bench compares the engine with what people use instead, in one run on one
// machine: `make compare` runs everything, and go run ./internal/bench/cmd/compare -h
// shows how to run a part of it. The results are in docs/benchmarks.md and results/.
//
// # Implementations
//
// Some implementations are what servers commonly write themselves:
//
//   - "hub, counts" is a mutex and a map of counts. "hub, members" is a mutex and a map of
//     the sets of connections, as in real hubs. Both use an RWMutex, which makes reads
//     cheaper and changes a little more expensive than a Mutex.
//   - "channel loop" is one goroutine that owns the sets and receives commands from a
//     channel, as in the chat example of gorilla/websocket.
//   - "sync.Map" and "xsync v4" are concurrent maps with an atomic counter for each room.
//     They retire a counter before they remove it from the map. Without that they would
//     keep every room forever or could lose a Join.
//
// The others are libraries, used through their public API, in the newest versions that
// build with the Go version of this project. Both are maintained and have the MIT licence.
//
//   - "centrifuge" is the memory presence manager of centrifuge v0.38.0, whose code is the
//     same in v0.40.1. Its PresenceStats walks the members of a channel. centrifuge also
//     has a cheap count of the clients that subscribe to a channel, Hub.NumSubscribers.
//     That is not a count of presence members, so it is not compared.
//   - "socket.io" is the adapter of zishang520/socket.io v3.0.0-rc.12. The code that is
//     used here differs in v3.0.1 only by an additional check in a set.
//
// Each implementation is called as a server would call it. The connections with their IDs
// and client infos are created before the measurement. A test verifies that every
// implementation counts correctly. The tables say what each does in addition to counting,
// or does not do.
//
// # Not compared
//
//   - olahol/melody has no rooms and no counts: its users store a key in each session and
//     walk all sessions. Only a websocket handshake creates a session, which has two
//     goroutines and a queue. A benchmark would measure handshakes, and no usual machine
//     has memory for 1,000,000 sessions.
//   - googollee/go-socket.io is archived. Its rooms are a mutex and a map of maps, like
//     "hub, members".
//   - kataras/neffos needs a newer Go version than this project. Its rooms need a websocket
//     for each connection.
//   - The tracker of Nakama counts by stream. It is part of a game server and cannot be
//     imported without its database driver and scripting languages.
//
// # Method
//
// For each workload, each implementation runs in a process of its own, so that no
// implementation pays for the garbage of another. The processes take turns after each
// pass, and ratios are computed between figures of the same pass. The next process
// starts its pass only when the previous one is idle, so that deferred work of one
// implementation does not slow down another.
//
// The time of a Join and a Leave is the elapsed time divided by the number of operations
// of all goroutines, as in `go test -bench`. A warm-up precedes each measurement. It is
// longer than the engine's interval, so that the measured time includes the publishing
// that the engine defers. A complete run needs about 5 GB of memory and takes about 8
// minutes on two cores.
//
// The engine has its default interval, except in the fan-out workload, where it has the
// interval 0 because the others have no interval. The memory of a map depends on whether
// it has just grown, so another number of rooms can give other ratios.
//
// The latency of events is measured without other work ("idle") and under two loads. Both
// loads have a goroutine for each processor, which joins and leaves other rooms. With
// "fixed load" each goroutine does 50 Joins and Leaves and then pauses for a
// millisecond: the same work for every implementation. With "full load" the goroutines
// never pause, so that an event has to wait for a processor. The implementations then do
// different amounts of work, so the tables show the time of a Join and Leave as well.
package bench
