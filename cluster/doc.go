// Package cluster makes one occupancy of many nodes: a chat service of several
// processes, each with its own engine, in each of which every room's counts are the
// whole service's.
//
//	node, err := cluster.Start(ctx, eng, bus, cluster.WithName("chat-1"))
//	defer node.Close()                 // says Bye
//	eng.Current("lobby")               // the whole service's, as last heard
//	eng.Get(ctx, "lobby")              // asks every live peer
//	node.Health()                      // is that fresh?
//
// A [Bus] carries what the nodes say to each other, and all else is here. Package
// natscluster, a module of its own, has one on NATS; package clustertest has one in memory.
//
// # How it works
//
//	   chat-1                          the bus                          chat-2
//	+----------+                                                    +----------+
//	|  engine  |                                                    |  engine  |
//	|          | watch LocalOnly      digest: lobby is 3, 2         |          |
//	|  lobby   +-----------> node -----------------------> node --->|  lobby   |
//	|  own 3,2 |               |                            |  Set  | chat-1's |
//	|          |               |    heartbeat: seq 7, hash  |       |  part is |
//	|          |               +--------------------------> |       |   3, 2   |
//	|          |               |                            |       |          |
//	|          |               | <-- sync: since 5, please -+       |          |
//	|          |               +--- reply: digest (5, 7] -->|       |          |
//	+----------+                                                    +----------+
//
// Each node publishes its own part of the rooms, and nobody else's, as absolute values:
// what changed, gathered for a flush, in digests that are numbered. Its peers add the
// parts up. Who misses a digest sees it by the next one's number or by a heartbeat's,
// which also has a hash of everything, and asks for what changed since. Nothing is
// stored: a node that starts is another incarnation, with nothing, which the others greet
// so that it need not wait for their heartbeats; and who is not heard for a lease is
// dropped with its part.
//
// Get asks: each peer answers what its part is at that moment, which a digest may still
// owe. With a [PartialError] comes the sum as far as it is known.
//
// # What is promised
//
//  1. When faults stop, every node's every room is exact within 2.5 seconds, whatever
//     was lost, repeated or reordered before. What a peer left behind that crashed is
//     gone within lease and heartbeat (6 seconds), or lease and hold (20 seconds) where
//     most of three or more peers vanished together; what one left that started again
//     under its name, within one and a half heartbeats; what one left with Close, at once.
//  2. Nobody is dropped because of ourselves: while our bus is down, or after we stood
//     still, no lease runs out.
//  3. What is not known to be fresh is said to be Degraded, in [Health]: at the next
//     heartbeat, or, where none comes, after a lease.
//  4. Whatever is received, nothing panics, and memory is bounded: by the options, and by
//     1024 messages that may wait, each as large as the bus takes it. A message that is
//     none is counted and dropped, a field of a later version skipped.
//  5. Nothing is sent but heartbeats while nothing changes, whatever the number of rooms.
//     Only of a peer with more than WithMaxRooms all is asked for again, every hold time.
//
// The times are those without options. A change is told to the peers at once after quiet,
// or with the next flush; if its room changed within the engine's interval before, it
// may wait for the end of that first, here and there.
//
// Not promised: that two sides of a partition agree while it lasts; that a peer's count
// is true, for it is believed what it says of itself; or anything against somebody on
// the bus who speaks in another's name. The bus needs its own authentication.
package cluster
