package embed

import "strings"

// ServerAddr returns the host:port of the client listener, also if other nodes may not
// connect to it.
func ServerAddr(b *Bus) string { return strings.TrimPrefix(b.server.url, "nats://") }
