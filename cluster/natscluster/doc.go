// Package natscluster connects the nodes of package cluster through NATS. The type [Bus]
// implements [cluster.Bus] with core publish and subscribe. It needs no JetStream, no
// storage and no configuration of the server.
//
// [Connect] connects to NATS servers that already run. To run a server inside the process,
// use Start of package natscluster/embed. That package is a separate module, so that a
// program without an embedded server does not contain the code of a server.
//
// # Disconnections
//
// A Bus tries to reconnect several times a second, without limit. While it is disconnected,
// Publish returns [ErrDisconnected] and drops the message: old counts are not sent later.
// If a server does not answer for 3 s, the Bus closes the connection.
//
// # Slow subscribers
//
// A Bus delivers each message immediately after it has read the message. If the
// subscriber's channel is full, the message is dropped and Events reports [cluster.Lossy].
// Therefore a Bus needs little memory: the data that it has read but not delivered is never
// more than one message and about 64 KiB.
//
// # Security
//
// A client that can publish can set the occupancy of any room. Protect the server with
// credentials ([WithUser], [WithToken], [WithNkeyFile] or [WithCredentialsFile]), and
// the network with [WithTLS]. Without TLS, credentials are sent unencrypted. [WithPrefix]
// separates services that use the same server, but does not protect them from each other.
package natscluster
