package natscluster

import "strings"

// ServerAddr is where an embedded server listens for clients, whoever may use it.
func ServerAddr(b *Bus) string { return strings.TrimPrefix(b.server.url, "nats://") }
