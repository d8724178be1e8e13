// Package embed runs a NATS server inside the process of a node, so that a service of
// several nodes needs no other program. Package embed is a separate module. A program that
// only connects to NATS uses package natscluster and does not contain a server.
//
// A node with a server is a seed. A service has one to five seeds, which connect to each
// other. Each of the other nodes connects to one of the seeds with natscluster.Connect:
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
// One seed is enough for development. While this seed restarts, the other nodes show
// outdated counts. With three seeds, the service works if one seed fails; with five seeds,
// it works if two seeds fail. Each seed informs its nodes of the other seeds. If a seed
// fails, its nodes reconnect to another seed. More than five seeds only increase the
// traffic, because each seed receives every message. A service that already has NATS
// servers needs no seeds.
//
// Give every seed the addresses of all seeds, and every other node the addresses of
// several seeds. The nodes can start in any order. If the nodes reach a seed at an address on
// which it does not listen, for example in a container, use [WithClusterAdvertise] and
// [WithClientAdvertise].
//
// # Security
//
// A client that can publish can set the occupancy of any room. Start therefore returns
// an error for an address that is not a loopback address, unless [WithUser], [WithToken] or
// [WithTLS] is given. Without TLS, credentials are sent unencrypted, and a seed sends them to
// any server that answers at an address of [WithSeeds]. Give credentials to all seeds, or to
// no seed.
package embed
