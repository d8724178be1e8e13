// Package cluster shares the counts of a chat service that runs as several processes.
// Each process has its own engine and one [Node], and each engine returns the counts of
// the whole service.
//
//	node, err := cluster.Start(ctx, eng, bus, cluster.WithName("chat-1"))
//	defer node.Close()        // the peers remove this process's counts at once
//	err = node.Ready(ctx)     // serve clients when the counts of the peers have arrived
//	eng.Current("lobby")      // the counts of the whole service, as last received
//	eng.Get(ctx, "lobby")     // queries every live peer
//	node.Health()             // reports whether these counts are up to date
//
// A [Bus] carries the messages between the nodes. Package natscluster implements it with
// NATS, and package rediscluster with Redis; each is a module of its own. Package clustertest
// implements it in memory, for tests.
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
// changes until the next flush, and then publishes them in a digest. A digest is a numbered
// list of the rooms that have changed, with their current counts. The other nodes are the
// peers of this node. The peers add these counts to their own counts.
//
// If a node misses a digest, it notices the gap from the number of the next digest or
// heartbeat. It then requests the changes since the last digest that it applied, at most once
// a second. If no reply arrives, it repeats the request after 2, 4 and then every 8 seconds.
// It waits for the replies of at most eight peers at once. A heartbeat also contains a hash
// of all counts of its sender.
//
// Nothing is stored. Each start of a node is a new incarnation, which knows no counts of
// its peers. When a node starts, its peers publish an early heartbeat, and the node
// requests their counts. [Node.Ready] returns when these counts have arrived.
//
// Each heartbeat of a peer renews the peer's lease, which lasts for five heartbeat
// intervals. If the lease expires, the node removes the peer's counts from the totals one
// heartbeat interval later. The peer is then Missing and the node is Degraded, until the
// peer returns, a node with the same name starts, or ten minutes have passed ([WithForget]).
// The node keeps the counts of a Missing peer, so that one heartbeat restores them.
//
// If the engines count users ([occupancy.WithUsers]), a user of several nodes counts once.
// The nodes publish the hashes of their users' client IDs: see [WithSecret]. A node
// publishes at most 4096 users of a room, those with the smallest hashes. If a node has
// more users in a room, its peers estimate the number of users of this room.
//
// With [WithTrending], the nodes also show the same trending rooms.
//
// # Sharding
//
// By default every node receives the counts of all rooms from every other node. This is simple, and
// right for up to about fifty nodes. With [WithSharding], the nodes exchange their counts
// through aggregators, which are a few of the nodes ([WithAggregator]):
//
//	chat-1                  aggregator                   chat-2
//	   | own counts: lobby 3    |                           |
//	   +----------------------> |                           |
//	   |                        | counts of the others:     |
//	   |                        | lobby 3                   |
//	   |                        +-------------------------> | interested in lobby
//
// The rooms are divided into 64 shards. Each node chooses two aggregators for each shard by
// rendezvous hashing: the primary and the backup. From the primary it receives the sums of all
// other nodes, for the rooms in which it is interested: in which it has connections, members or
// subscribers. It publishes its own counts to every aggregator that another node has chosen for the
// shard, so that the sums are complete. It publishes and receives these counts in the same way as
// without aggregators: with numbered digests, sync requests, heartbeats and hashes.
//
// The nodes inform the aggregators of their choice, and the aggregators only do what the nodes
// have requested. There is no election, and nodes can choose differently for some time. If two
// heartbeats of the primary have not arrived, or if another aggregator knows more nodes, the node
// changes to the backup. It uses the counts of the backup when it has received all of them, so that
// no count changes. If no aggregator is left, it keeps the last counts for the length of a lease and
// the hold time, and is Degraded.
//
// An aggregator publishes to a node at most 256 users of a room. If the other nodes have more, the node
// estimates how many of its own users are also on another node.
//
// # Get
//
// Get queries the peers, so its result includes changes that have not been flushed yet. Only
// the number of users is the one that was last received. If a peer does not answer, Get
// returns the known sum and a [PartialError]. With [WithSharding], Get queries one aggregator: then
// the result does not include the changes that the other nodes have not flushed yet, and if the
// node is not interested in the room, the aggregator also answers the number of users.
//
// # What is promised
//
// The times are those of the default options.
//
//  1. When all faults have ended, all counts are exact within 2.5 seconds, whatever messages
//     were lost, repeated or reordered. If a node has requested missing changes several times
//     without an answer, it waits up to 8 seconds before the next request. If a peer crashes,
//     its counts are removed within 6 seconds: the lease and one heartbeat interval. If a
//     node loses both of two peers or most of more peers at once, their counts are removed
//     within 20 seconds: the lease and the hold time of 15 seconds ([WithHold]). If a peer
//     restarts under the same name, the counts of its previous incarnation are removed within
//     1.5 seconds. If a peer is closed, its counts are removed at once.
//  2. No lease expires while this node's own bus is disconnected, or because this process
//     was paused. If heartbeats of some peers still arrive, the leases of the others expire:
//     the clients of an embedded server can be connected while no other server is.
//  3. While counts may be incomplete or out of date, [Health] reports Degraded with the
//     reasons. Get returns an error if it cannot query every known peer. A node detects a
//     missed change at the peer's next heartbeat. If no heartbeat arrives, the node is
//     Degraded from the end of the lease until the peer returns. A node cannot detect a peer
//     that it never knew, except with [WithExpectedNodes].
//  4. No message causes a panic. The options limit the memory for counts. At most 1024
//     received messages and 4096 answers wait to be handled; 16384 messages on an
//     aggregator. Invalid messages are counted
//     and dropped. Unknown fields are skipped, so that later versions can add fields.
//  5. While nothing changes, a node publishes heartbeats only, however many rooms there
//     are.
//
// After a time without changes, a node publishes a change at once. It collects the changes
// that follow, and publishes them with the next flush, at most 200 milliseconds later. If
// a flush is due and there are no changes, the next change is again published at once.
//
// If a room changes more than once within the engine's interval
// ([occupancy.WithInterval]), only the first change is published immediately. The newest
// counts are published when the interval has ended. The receiving engine delays its events
// in the same way.
//
// Before a partition of the network ends, both sides can have different counts. A peer's
// own counts are taken as true; nothing verifies them. A client of the bus can publish
// messages with the identity of a node, so the bus must authenticate its clients.
package cluster
