package impl

import (
	"bytes"
	"strconv"
	"sync/atomic"

	"github.com/centrifugal/centrifuge"
)

// transport is the transport of a centrifuge client. When the server writes a message with
// a count to the client, transport sends the count to the channel events. The client sends
// nothing to the server.
type transport struct {
	events    chan int
	delivered *atomic.Uint64
}

// encodeCount returns a message with a count.
func encodeCount(n int) []byte { return []byte(`{"count":` + strconv.Itoa(n) + `}`) }

// decodeCount returns the count in a message. It returns false for centrifuge's own
// messages, about the connection and the subscription.
func decodeCount(message []byte) (int, bool) {
	_, rest, found := bytes.Cut(message, []byte(`{"count":`))
	digits, _, _ := bytes.Cut(rest, []byte(`}`))
	if !found {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	must(err)
	return n, true
}

func (t *transport) Write(message []byte) error {
	if n, ok := decodeCount(message); ok && trySend(t.events, n) {
		t.delivered.Add(1)
	}
	return nil
}

func (t *transport) WriteMany(messages ...[]byte) error {
	for _, m := range messages {
		must(t.Write(m))
	}
	return nil
}

func (t *transport) Name() string                                { return "channel" }
func (t *transport) AcceptProtocol() string                      { return "" }
func (t *transport) Protocol() centrifuge.ProtocolType           { return centrifuge.ProtocolTypeJSON }
func (t *transport) ProtocolVersion() centrifuge.ProtocolVersion { return centrifuge.ProtocolVersion2 }
func (t *transport) Unidirectional() bool                        { return true }
func (t *transport) Emulation() bool                             { return false }
func (t *transport) DisabledPushFlags() uint64                   { return 0 }
func (t *transport) PingPongConfig() centrifuge.PingPongConfig {
	return centrifuge.PingPongConfig{PingInterval: -1}
}
func (t *transport) Close(centrifuge.Disconnect) error { return nil }
