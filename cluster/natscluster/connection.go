package natscluster

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
)

// setConn makes conn, which is connected, the connection of the Bus.
func (b *Bus) setConn(conn *nats.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() {
		conn.Close()
		return
	}
	b.conn.Store(conn)
	for s := range b.subscriptions() {
		if err := s.subscribeOn(conn); err != nil {
			return // conn is closed already, and the NATS client will call replace
		}
	}
	b.onConnect(conn)
}

// The NATS client calls the following methods. For each connection it calls them from one
// goroutine, in the order of the events.

func (b *Bus) onConnect(conn *nats.Conn) {
	if b.closing.Load() {
		return
	}
	url := conn.ConnectedUrlRedacted()
	if server := b.config.Server; server != nil {
		url = server.URL
	}
	b.connectedURL.Store(&url)
	n := conn.MaxPayload()
	if n < cluster.MinPayload { // dialOnce has checked only the first server
		b.config.Log.Error("the server's maximum payload is too small: larger messages will fail", "bytes", n, "required", cluster.MinPayload)
	}
	b.maxPayload.Store(max(n, cluster.MinPayload))
	level := slog.LevelInfo
	if b.connects.Add(1) > 1 {
		level = slog.LevelWarn // so that "disconnected" is not the last line of a log of warnings
	}
	b.connected.Store(true)
	b.reportState(true)
	b.config.Log.Log(context.Background(), level, "connected to NATS", "server", url)
}

func (b *Bus) onDisconnect(err error) {
	if !b.closing.Load() && b.connected.CompareAndSwap(true, false) {
		b.reportState(true)
		b.config.Log.Warn("disconnected from NATS", "error", err)
	}
}

// reportState sends the state of the connection as an event. If changed is true, the
// connection has changed, and otherwise only a new state is sent.
func (b *Bus) reportState(changed bool) {
	b.stateMu.Lock()
	defer b.stateMu.Unlock()
	state := cluster.Disconnected
	server := b.config.Server
	if b.connected.Load() && (server == nil || server.Isolated == nil || !server.Isolated()) {
		state = cluster.Connected
	}
	if state == b.state && !changed {
		return
	}
	if b.state = state; !changed && state == cluster.Disconnected {
		b.config.Log.Warn("cannot reach any seed: check WithSeeds and the network")
	} else if !changed {
		b.config.Log.Info("connected to another seed")
	}
	b.events.Send(state)
}

// watchRoutes reports when the last route of the embedded server to another seed is closed,
// and when the first one is open.
func (b *Bus) watchRoutes() {
	ticker := time.NewTicker(routeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.reportState(false)
		case <-b.stop:
			return
		}
	}
}

// routeInterval is the time between two checks of the routes.
const routeInterval = 100 * time.Millisecond

func (b *Bus) onError(sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) { // not expected, because of dialer.awaitDelivery
		b.lost.Add(1) // at least one message was lost: the client does not report the number
		b.events.Send(cluster.Lossy)
	}
	err = explain(err)
	if !b.errorLog.Allow(err.Error()) {
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	b.config.Log.Warn("NATS error", "error", err, "subject", subject)
}

// replace creates a new connection, because the NATS client will not reconnect any more.
// After some errors, the client stops reconnecting although MaxReconnect is unlimited.
func (b *Bus) replace(closed *nats.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() || b.conn.Load() != closed {
		return
	}
	b.onDisconnect(closed.LastError())
	b.replacements.Go(func() {
		_ = b.dial(func(error) bool { return false }) // fails only if the Bus is closed
	})
}
