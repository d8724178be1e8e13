package natscluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
)

const (
	checkInterval = time.Second
	answerTimeout = 2500 * time.Millisecond // the Bus is disconnected if the server does not answer within this time
)

// watch reports the state of the connection until the Bus or the connection is closed. It
// checks the connection once a second, because the settings of a connection of New are
// unknown: by default the NATS client detects a dead connection after minutes. The channel
// status only saves time, because the client drops a status that is not received at once.
func (b *Bus) watch(status <-chan nats.Status) {
	for b.check() {
		select {
		case s := <-status:
			if s != nats.CONNECTED {
				b.setState(cluster.Disconnected)
			}
		case <-time.After(checkInterval):
		case <-b.ctx.Done():
			return
		}
	}
}

// check reports the state of the connection and the loss of messages. It returns false if the
// connection is closed and will not reconnect.
func (b *Bus) check() bool {
	// The methods of the NATS client block while it dials or writes.
	late := time.AfterFunc(answerTimeout, func() { b.setState(cluster.Disconnected) })
	defer late.Stop()
	b.reportDropped()
	switch b.conn.Status() {
	case nats.CONNECTED:
	case nats.CLOSED:
		b.setState(cluster.Disconnected)
		if b.ctx.Err() == nil {
			b.log.Error("the NATS connection is closed and will not reconnect: restart this node", "error", b.conn.LastError())
		}
		return false
	default:
		b.setState(cluster.Disconnected)
		if err := b.conn.LastError(); err != nil {
			b.logError("cannot connect to NATS, retrying", err)
		}
	}
	if b.flush(b.ctx) != nil {
		b.setState(cluster.Disconnected)
		return true
	}
	if n := b.conn.Stats().Reconnects; n != b.reconnects {
		b.reconnects = n
		b.setState(cluster.Disconnected) // messages were lost, even if the disconnection was short
	}
	b.setMaxPayload(b.conn.MaxPayload())
	b.setState(cluster.Connected)
	return true
}

// setState reports the state if it has changed.
func (b *Bus) setState(state cluster.BusEvent) {
	b.stateMu.Lock()
	defer b.stateMu.Unlock()
	if b.state == state || b.ctx.Err() != nil {
		return
	}
	// A new connection is logged as a warning, so that "disconnected" is not the last line of
	// a log of warnings.
	level := slog.LevelWarn
	if b.state == 0 {
		level = slog.LevelInfo
	}
	b.state = state
	b.connected.Store(state == cluster.Connected)
	b.events.Send(state)
	if state == cluster.Connected {
		b.log.Log(context.Background(), level, "connected to NATS", "server", b.conn.ConnectedUrlRedacted())
	} else {
		b.log.Log(context.Background(), level, "disconnected from NATS")
	}
}

// logError logs an error of the NATS client, but a repeated error only once per 10 s.
func (b *Bus) logError(text string, err error) {
	if err = explain(err); err != nil && b.errorLog.Allow(err.Error()) {
		b.log.Warn(text, "error", err)
	}
}
