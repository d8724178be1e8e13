// Package natscluster connects the nodes of package cluster through NATS. The type [Bus]
// implements [cluster.Bus] with core publish and subscribe. It needs no JetStream, no
// storage and no configuration of the server.
//
// [Connect] connects to NATS servers that already run. [New] uses the connection of a program
// that already uses NATS. To run a server inside the process, use Start of package
// natscluster/embed. That package is a separate module, so that a program without an embedded
// server does not contain the code of a server.
//
// # Disconnections
//
// A connection of Connect tries to reconnect several times a second, without limit. While a
// Bus is disconnected, Publish returns [ErrDisconnected]. Once a second the Bus checks
// whether the server answers. If the server does not answer for 2.5 s, the Bus reports
// [cluster.Disconnected], although the connection may still be open.
//
// After some errors, for example a violation of the NATS protocol, the NATS client closes the
// connection and does not reconnect. The Bus then logs an error and remains disconnected until
// the program is restarted.
//
// # Slow subscribers
//
// A Bus delivers each message immediately after it has read the message. If the
// subscriber's channel is full, the message is dropped and Events reports [cluster.Lossy].
//
// # Security
//
// A client that can publish can set the occupancy of any room. Protect the server with
// credentials and the network with TLS, by options of the NATS client ([WithNATS]). Without
// TLS, credentials are sent unencrypted. [WithPrefix] separates services that use the same
// server, but does not protect them from each other.
package natscluster
