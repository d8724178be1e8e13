package embed

import "strings"

// ServerAddr returns the host:port of the client listener, also if the listener accepts
// only this node.
func ServerAddr(b *Bus) string { return strings.TrimPrefix(b.server.url, "nats://") }
