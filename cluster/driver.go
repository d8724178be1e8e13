package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/occupancy/occupancy/cluster/internal/core"
)

// driver connects a state machine of the protocol to the bus and to the clock. All its methods
// except now are called by one goroutine, unless their comments say otherwise.
type driver struct {
	config
	bus     Bus
	start   time.Time // times are stored as durations since start
	ctx     context.Context
	inbox   chan Message // messages from the bus, in order
	reports changes

	mu   sync.Mutex
	core *core.Machine // only the goroutine of the driver, Get and Top change it
}

// newDriver returns a driver whose core is not set yet.
func newDriver(ctx context.Context, cfg config, bus Bus, inbox int) *driver {
	d := &driver{
		config:  cfg,
		bus:     bus,
		start:   time.Now(),
		ctx:     ctx,
		inbox:   make(chan Message, inbox),
		reports: changes{out: make(chan Health, 1)},
	}
	d.Yield = func() { // called while mu is locked
		d.mu.Unlock()
		d.mu.Lock()
	}
	return d
}

// now returns the time since the start of the driver. It can be called from any goroutine.
func (d *driver) now() time.Duration { return time.Since(d.start) }

// tick runs the timers that are due, and returns the time of the next one.
func (d *driver) tick() time.Duration {
	// If a check of the leases is late, first handle the heartbeats that already wait in the
	// inbox. Only this goroutine changes core, so it can read core without mu.
	for i := len(d.inbox); i > 0 && d.now() > d.core.CheckAt(); i-- {
		d.receive(<-d.inbox)
	}
	d.runTimers()
	return d.core.Deadline()
}

// runTimers handles the timers that are due.
func (d *driver) runTimers() {
	if d.now() >= d.core.Deadline() {
		d.update(func(now time.Duration) { d.core.Tick(now, d.bus.MaxPayload()) })
	}
}

func (d *driver) handleBusEvent(e BusEvent) {
	d.update(func(now time.Duration) {
		switch e {
		case Connected, Disconnected:
			d.core.SetConnected(e == Connected, now)
		case Lossy:
			d.core.SetLossy(now)
		}
	})
}

func (d *driver) receive(m Message) {
	d.update(func(now time.Duration) { d.core.Receive(core.Kind(m.Subject.Kind), m.Payload, now) })
}

// receiveAll handles a message. If the inbox is more than half full, it then handles the waiting
// messages: heartbeats first, so that no lease expires because this node is slow.
func (d *driver) receiveAll(m Message) {
	d.receive(m)
	waiting := len(d.inbox)
	if waiting <= cap(d.inbox)/2 {
		return
	}
	d.update(func(time.Duration) { d.core.SetOverloaded(true) })
	rest := make([]Message, 0, waiting)
	for range waiting {
		if m := <-d.inbox; m.Subject.Kind == KindHeartbeat {
			d.receive(m)
		} else {
			rest = append(rest, m)
		}
	}
	for _, m := range rest {
		d.runTimers()
		d.receive(m)
	}
	d.update(func(time.Duration) { d.core.SetOverloaded(len(d.inbox) > cap(d.inbox)/2) })
}

// update changes the state machine, and then performs its outputs.
func (d *driver) update(change func(now time.Duration)) {
	d.mu.Lock()
	change(d.now())
	d.mu.Unlock()
	d.perform(d.ctx)
}

// stop publishes the Bye of the node.
func (d *driver) stop(ctx context.Context) {
	d.mu.Lock()
	d.core.Stop()
	d.mu.Unlock()
	d.perform(ctx)
	close(d.reports.out)
}

// perform publishes the messages of the state machine and closes its tables. Publishing can
// take a long time, so mu is not locked meanwhile.
func (d *driver) perform(ctx context.Context) {
	d.mu.Lock()
	messages, tables := d.core.Take()
	d.mu.Unlock()
	if len(tables) > 0 {
		go func() { // a table can have a million rooms
			for _, t := range tables {
				_ = t.Close()
			}
		}()
	}
	for _, m := range messages {
		err := d.bus.Publish(ctx, Subject{Kind(m.Kind), m.Shard}, m.Payload)
		d.mu.Lock()
		d.core.Sent(m, err, d.now())
		d.mu.Unlock()
	}
}

// untilFlush returns the time until the next flush. Flushes are due at multiples of the flush
// interval on the wall clock, or the given time after them. Nodes whose clocks agree flush at the
// same time, so a broker can send the digests of many nodes to a connection with one write. Writes
// are most of a broker's work if there are many nodes. Nothing else depends on the wall clock.
func (d *driver) untilFlush(after time.Duration) time.Duration {
	now := time.Now().Add(-after)
	return d.flush - now.Sub(now.Truncate(d.flush))
}
