// Package cluster shares the counts of a chat service that runs as several processes.
// Each process has its own engine and one [Node], and each engine returns the counts of
// the whole service.
//
//	node, err := cluster.Start(ctx, eng, bus, cluster.WithName("chat-1"))
//	defer node.Close()        // the peers remove this process's counts at once
//	eng.Current("lobby")      // the counts of the whole service, as last received
//	eng.Get(ctx, "lobby")     // queries every live peer
//	node.Health()             // reports whether these counts are up to date
//
// A [Bus] carries the messages between the nodes. Package natscluster, a module of its
// own, implements it with NATS. Package clustertest implements it in memory, for tests.
//
// # How it works
//
//	   chat-1                          the bus                          chat-2
//	+----------+                                                    +----------+
//	|  engine  |                                                    |  engine  |
//	|          | Link.Watch           digest: lobby is 3, 2         |          |
//	|  lobby   +-----------> node -----------------------> node --->|  lobby   |
//	|  own 3,2 |               |                            | Remote|  3,2 of  |
//	|          |               |    heartbeat: seq 7, hash  |  .Set |  chat-1  |
//	|          |               +--------------------------> |       |          |
//	|          |               |                            |       |          |
//	|          |               | <---- sync request: 5 -----+       |          |
//	|          |               +---- reply: digest (5, 7] ->|       |          |
//	+----------+                                                    +----------+
//
// A node publishes the counts of its own process only, as absolute values. It collects
// changes until the next flush, which publishes them as numbered digests. The other
// nodes, its peers, add them to their own counts.
//
// A node that misses a digest notices it from the sequence number of the next digest or
// heartbeat, and requests the changes since the last digest that it applied. A heartbeat
// also contains a hash of all counts of its sender.
//
// Nothing is stored. Each start of a node is a new incarnation, which knows no counts of
// its peers. The peers greet it with an early heartbeat. A node that receives no
// heartbeat of a peer for a lease drops the peer and its counts.
//
// Get queries the peers, so its result includes changes that have not been flushed yet.
// If a peer does not answer, Get returns the known sum and a [PartialError].
//
// # What is promised
//
// The times are those of the default options.
//
//  1. Within 2.5 seconds after all faults have ended, each node has the exact counts of
//     every room, whatever was lost, repeated or reordered before. The counts of a peer
//     that crashed are removed within the lease and one heartbeat (6 seconds). If more
//     than half of three or more peers are lost together, their counts are removed within
//     the lease and the hold time (20 seconds). If a peer restarts under the same name, the
//     counts of its previous incarnation are removed within one and a half heartbeats. The
//     counts of a peer that was closed are removed at once.
//  2. No lease expires while this node's own bus is disconnected, or because this process
//     was paused.
//  3. While counts may be out of date, [Health] reports Degraded. A missed change is
//     detected at the peer's next heartbeat. If no heartbeat arrives, the node is Degraded
//     when the lease expires.
//  4. No message causes a panic. Memory is bounded by the options and by an inbox of 1024
//     messages of the bus's maximum payload. Invalid messages are counted and dropped.
//     Unknown fields, of later versions, are skipped.
//  5. While nothing changes, a node publishes heartbeats only, whatever the number of
//     rooms. The exception is a peer with more rooms than WithMaxRooms: a node requests its
//     snapshot again once in each hold time.
//
// A change is published at once if no other was published since the last flush was due,
// and otherwise with the next flush. If the same room changed within the engine's interval
// before, the change is published at the end of the interval at the earliest; the same
// interval applies at the receiving engine.
//
// It is not promised that both sides of a partition agree while it lasts. A peer's own
// counts are taken as true; nothing verifies them. Nothing protects against a publisher
// on the bus that uses the identity of a node: the bus must authenticate its clients.
package cluster
