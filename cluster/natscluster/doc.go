// Package natscluster connects the nodes of package cluster through NATS: its [Bus] is a
// [cluster.Bus] that uses core publish and subscribe. It needs no JetStream, no storage
// and no configuration of the server.
//
// [Connect] uses NATS servers that already run. To run a server inside the process, use
// Start of package natscluster/embed, a module of its own: a program that only connects
// does not contain a server.
//
// # Disconnections
//
// A Bus reconnects without limit, several times a second. Publish returns
// [ErrDisconnected] meanwhile, and nothing is kept to be sent later: a node's next digest
// contains newer counts. A server that does not answer is disconnected after 3 s.
//
// # Slow subscribers
//
// A Bus delivers a message as soon as it has read it. If the subscriber's channel is
// full, the message is dropped and Events reports [cluster.Lossy]. Therefore a Bus never
// holds more than about 64 KiB and one message for each subscriber.
//
// # Security
//
// A client that can publish can set the occupancy of any room. Protect the server with
// credentials ([WithUser], [WithToken], [WithNkeyFile] or [WithCredentialsFile]), and
// the network with [WithTLS]: without TLS credentials are sent unencrypted. [WithPrefix]
// separates services that share a server, but does not protect them from each other.
package natscluster
