package natscluster

import "strings"

// ServerAddr is where an embedded server listens for clients, whoever may use it.
func ServerAddr(b *Bus) string { return strings.TrimPrefix(b.server.url, "nats://") }

// Discovered are the servers that a Bus was told of, and would turn to.
func Discovered(b *Bus) []string { return b.conn.Load().DiscoveredServers() }

// Subscriptions is how many subjects a Bus is subscribed to.
func Subscriptions(b *Bus) int { return b.conn.Load().NumSubscriptions() }
