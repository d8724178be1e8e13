// Package natscluster carries what package cluster has to say over NATS: [Bus] is a
// [cluster.Bus] on core publish and subscribe. It needs no JetStream, no storage and no
// configuration of the server.
//
// There are two ways to have a server. [Connect] uses one that runs. [Embed] runs one
// inside the process, so that a service is complete without another program: a few of
// its nodes are seeds, with a server each, and the rest connect to them.
//
//	       ╔════════════════════════╗
//	     chat-1 ═════ chat-2 ═════ chat-3      seeds: Embed, each linked to each
//	     │    │         │          │    │
//	chat-4  chat-5    chat-6   chat-7  chat-8  the others: Connect, to any one
//
// # How many seeds
//
// One is for development, and for a service that can do without its nodes' seeing each
// other while that one restarts. Of three any one can go: its clients, which it told of
// the others, are with those at once. Of five any two. More bring nothing, since every
// message goes to each of them. Where NATS runs already, Connect to that.
//
// Every seed is given the list of all of them; every other node the addresses of some.
// Nothing depends on the order in which they start.
//
// # Losses
//
// A Bus reconnects for ever, several times a second. What is published meanwhile is
// refused and not kept: a node's next digest says it better. A connection over which
// nothing comes is given up after 3 s, and so is a link between seeds.
//
// What comes is passed on as fast as it is read, and lost where a subscriber's channel
// is full, which Events tells. So whatever is sent, a Bus holds no more for each
// subscriber than some 64 KiB on their way to its channel, and the last message.
//
// # Safety
//
// Who can publish can say what any room's occupancy is. So an embedded server listens
// on a loopback address only, unless there are [WithUser], [WithToken] or [WithTLS];
// credentials without TLS cross the network as they are. They are asked of who connects:
// that a seed at an address of [WithSeeds] is what it should be, only TLS shows, so give
// credentials to all seeds or to none. One server can serve several
// services by [WithPrefix], which keeps them apart and is no protection.
package natscluster
