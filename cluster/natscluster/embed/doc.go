// Package embed runs a NATS server inside the process of a node, so that a service of
// several nodes needs no other program. It is a module of its own: a program that only
// connects to NATS uses package natscluster and does not contain a server.
//
// A node with a server is a seed. A service has one to five seeds, which connect to each
// other. All other nodes connect to any seed with natscluster.Connect:
//
//	      +-------------------------------+
//	      |                               |
//	   chat-1 --------- chat-2 --------- chat-3      seeds: embed.Start
//	   ^    ^             ^              ^    ^
//	   |    |             |              |    |
//	chat-4  chat-5      chat-6      chat-7  chat-8   others: natscluster.Connect
//
// # Number of seeds
//
// One seed is enough for development, and for a service whose nodes may show outdated
// counts while the seed restarts. With three seeds any one may fail, with five any two: the
// nodes that were connected to a failed seed reconnect to another one, of which it has
// informed them. More than five seeds only cost traffic, since each receives every
// message. A service that already has NATS servers needs no seeds.
//
// Give every seed the addresses of all seeds, and every other node the addresses of
// several. The nodes may start in any order.
//
// # Security
//
// A client that can publish can set the occupancy of any room. Start therefore returns
// an error for an address that is not a loopback address, unless natscluster.WithUser,
// natscluster.WithToken or natscluster.WithTLS is given. Without TLS credentials are sent
// unencrypted, also to any server that answers at an address given to [WithSeeds]. Give
// credentials to all seeds or to none.
package embed
