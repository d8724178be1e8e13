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
// implementation counts correctly. The descriptions in results/compare.md say which work
// each implementation does in addition to counting, and whether it sends events. The hub
// with members and the channel loop can also report the changes of all rooms.
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
//
// The reasons for the following three are from their source code. None of them was run.
//
//   - yorkie v0.7.17 has a channel manager with the methods that a benchmark needs: Attach,
//     Detach and SessionCount. But its package, server/backend/channel, imports MongoDB's
//     driver, a Kafka client, an RPC library and a validation library. Attach also sends a
//     message to the server's message broker, which a benchmark would have to replace.
//   - Nakama v3.40.0 has a tracker that counts the presences of each stream. It is in the
//     package of the whole game server, which imports a PostgreSQL driver, interpreters
//     for JavaScript and Lua, and a search engine. It needs a newer Go version than this
//     project.
//   - mercure v0.24.2 has a list of subscribers. It counts only all subscribers together.
//     For a topic it returns a slice of the subscribers. Each subscriber has a channel with
//     space for 1,000 updates, so 1,000,000 connections need more than 8 GB. The newest
//     version for the Go version of this project is v0.21.8, which is the same in this.
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
// interval, and is itself as long as the interval. So the measured time includes
// publishing. With one goroutine, another core can publish at the same time. A complete run
// needs about 5 GB of memory.
//
// The engine has its default interval. Only in the fan-out workload it has the interval 0,
// because the other implementations have no interval. A map that has just grown has much
// unused memory, so with a different number of rooms the ratios of memory can be different.
//
// The latency of events is the time from the call of Join or Leave until the event has
// reached the goroutine that reads the subscription. Each subscription has such a
// goroutine. The caller waits for the event before it changes the next room. The latency
// is measured without other work ("idle") and under two loads:
//
//   - "busy hooks": a goroutine for each processor joins and leaves other rooms without a
//     pause. The implementations then do different amounts of work. The workload "busy
//     hooks with events" measures how much longer these Joins and Leaves take if the rooms
//     that change have subscribers.
//   - "workers": 100 goroutines receive work from a channel as fast as they can do it. Each
//     piece of work is a Join, about 200 µs of computing, and a Leave.
package bench
