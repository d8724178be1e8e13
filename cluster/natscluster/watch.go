package natscluster

import (
	"time"

	"github.com/nats-io/nats.go"
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
				b.state.SetDisconnected()
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
	late := time.AfterFunc(answerTimeout, func() { b.state.SetDisconnected() })
	defer late.Stop()
	b.reportDropped()
	switch b.conn.Status() {
	case nats.CONNECTED:
	case nats.CLOSED:
		b.state.SetDisconnected()
		if b.ctx.Err() == nil {
			b.log.Error("the NATS connection is closed and will not reconnect: restart this node", "error", b.conn.LastError())
		}
		return false
	default:
		b.state.SetDisconnected()
		if err := b.conn.LastError(); err != nil {
			b.logError("cannot connect to NATS, retrying", err)
		}
	}
	if b.flush(b.ctx) != nil {
		b.state.SetDisconnected()
		return true
	}
	if n := b.conn.Stats().Reconnects; n != b.reconnects {
		b.reconnects = n
		b.state.SetDisconnected() // messages were lost, even if the disconnection was short
	}
	b.setMaxPayload(b.conn.MaxPayload())
	b.state.SetConnected(b.conn.ConnectedUrlRedacted())
	return true
}

// logError logs an error of the NATS client.
func (b *Bus) logError(text string, err error) { b.state.LogError(text, explain(err)) }
