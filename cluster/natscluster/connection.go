package natscluster

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
)

// adopt makes conn, which is connected, the Bus's.
func (b *Bus) adopt(conn *nats.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() {
		conn.Close()
		return
	}
	b.conn.Store(conn)
	for s := range b.all() {
		if err := s.attach(conn); err != nil {
			return // it is closed already: revive makes another
		}
	}
	b.connected(conn)
}

// The NATS client calls the following by one goroutine for each conn, in their order.

func (b *Bus) connected(conn *nats.Conn) {
	if b.closing.Load() {
		return
	}
	url := conn.ConnectedUrlRedacted()
	if b.server != nil {
		url = b.server.url
	}
	b.at.Store(&url)
	n := conn.MaxPayload()
	if n < cluster.MinPayload { // of another server than the first
		b.opts.log.Error("the server's largest payload is too small: larger ones will fail", "bytes", n, "needed", cluster.MinPayload)
	}
	b.maxPayload.Store(max(n, cluster.MinPayload))
	b.connects.Add(1)
	b.up.Store(true)
	b.events.Tell(cluster.Connected)
	b.opts.log.Info("connected to NATS", "server", url)
}

func (b *Bus) disconnected(err error) {
	if !b.closing.Load() && b.up.CompareAndSwap(true, false) {
		b.events.Tell(cluster.Disconnected)
		b.opts.log.Warn("disconnected from NATS", "error", err)
	}
}

func (b *Bus) failed(sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) { // which passOn prevents
		b.lost.Add(1) // at least
		b.events.Tell(cluster.Lossy)
	}
	if b.repeated.is(err.Error()) {
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	b.opts.log.Warn("NATS reports an error", "error", err, "subject", subject)
}

// revive makes another conn, when the NATS client gave this one up: some errors of the
// server have it do so, though it was told to try for ever.
func (b *Bus) revive(gone *nats.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() || b.conn.Load() != gone {
		return
	}
	b.disconnected(gone.LastError())
	b.revivals.Go(func() {
		_ = b.dial(func(error) bool { return false }) // until it connects, or the Bus is closed
	})
}
