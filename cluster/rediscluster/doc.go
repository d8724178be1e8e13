// Package rediscluster connects the nodes of package cluster through Redis or Valkey, version
// 7 or newer. The type [Bus] implements [cluster.Bus] with the commands PUBLISH and SUBSCRIBE.
// It uses the client library rueidis. It stores no data in Redis, and Redis needs no configuration.
//
// [Connect] connects to a Redis server, to a Redis Cluster, or to the primary that Sentinels
// know. [New] uses the client of a program that already uses Redis.
//
// # Disconnections
//
// A Bus uses one connection for its messages and subscriptions. Once a second the Bus checks
// whether the server answers. If the server does not answer for 2.5 s, the Bus reports
// [cluster.Disconnected], and tries to connect until it succeeds. While a Bus is disconnected,
// Publish returns [ErrDisconnected].
//
// Redis closes the connection of a subscriber that reads too slowly
// (client-output-buffer-limit pubsub). The Bus then connects again, and the node requests
// the changes that it has missed.
//
// # Security
//
// A client that can publish can set the occupancy of any room. Protect the server with a
// password or an ACL user, and the network with TLS: see [rueidis.ClientOption]. [WithPrefix]
// separates services that use the same server, but does not protect them from each other. An ACL
// user needs the permissions
//
//	resetchannels &occupancy.v1.* +publish +subscribe +unsubscribe +ping +hello +client
//
// In a Redis Cluster the user also needs +cluster|slots and +cluster|shards, and with Sentinels +role.
package rediscluster
