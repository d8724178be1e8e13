package peer

import (
	"bytes"
	"strconv"
	"sync/atomic"

	"github.com/centrifugal/centrifuge"
)

// wire is a centrifuge client's transport that ends in a channel. It is unidirectional,
// so that what the server says is all there is.
type wire struct {
	events chan int
	told   *atomic.Uint64
}

// encode is a count as it is published, and count is what was published, or false for
// what centrifuge says of itself: that the client is connected, or subscribed.
func encode(n int) []byte { return []byte(`{"count":` + strconv.Itoa(n) + `}`) }

func count(message []byte) (int, bool) {
	_, rest, found := bytes.Cut(message, []byte(`{"count":`))
	digits, _, _ := bytes.Cut(rest, []byte(`}`))
	if !found {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	must(err)
	return n, true
}

func (w *wire) Write(message []byte) error {
	if n, ok := count(message); ok && offer(w.events, n) {
		w.told.Add(1)
	}
	return nil
}

func (w *wire) WriteMany(messages ...[]byte) error {
	for _, m := range messages {
		must(w.Write(m))
	}
	return nil
}

func (w *wire) Name() string                                { return "wire" }
func (w *wire) AcceptProtocol() string                      { return "" }
func (w *wire) Protocol() centrifuge.ProtocolType           { return centrifuge.ProtocolTypeJSON }
func (w *wire) ProtocolVersion() centrifuge.ProtocolVersion { return centrifuge.ProtocolVersion2 }
func (w *wire) Unidirectional() bool                        { return true }
func (w *wire) Emulation() bool                             { return false }
func (w *wire) DisabledPushFlags() uint64                   { return 0 }
func (w *wire) PingPongConfig() centrifuge.PingPongConfig {
	return centrifuge.PingPongConfig{PingInterval: -1}
}
func (w *wire) Close(centrifuge.Disconnect) error { return nil }
