package cluster

import "sync"

// BusEvents provides the Events channel of a [Bus], for implementations of Bus. Create a
// BusEvents with [NewBusEvents]. All methods can be called from any goroutine.
type BusEvents struct {
	out chan BusEvent // its capacity is the number of different events

	mu     sync.Mutex // locked while events are sent or merged
	closed bool
}

// NewBusEvents returns a BusEvents without events.
func NewBusEvents() *BusEvents { return &BusEvents{out: make(chan BusEvent, 3)} }

// C returns the channel that Events should return.
func (b *BusEvents) C() <-chan BusEvent { return b.out }

// Send sends e to the channel and merges it with the unread events. It never blocks.
// Afterwards the channel contains each event at most once, and the newest state is the
// last event. A Connected does not remove an unread Disconnected. After Close, Send does
// nothing.
func (b *BusEvents) Send(e BusEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	var down, up, lossy bool
	merge := func(e BusEvent) {
		switch e {
		case Connected:
			up = true
		case Disconnected:
			down, up = true, false
		case Lossy:
			lossy = true
		}
	}
	for {
		select {
		case unread := <-b.out:
			merge(unread)
			continue
		default:
		}
		break
	}
	merge(e)
	// These sends do not block: the channel is empty, and mu excludes other senders.
	if lossy {
		b.out <- Lossy
	}
	if down {
		b.out <- Disconnected
	}
	if up {
		b.out <- Connected
	}
}

// Close closes the channel. Unread events can still be received. Close can be called more
// than once.
func (b *BusEvents) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.out)
	}
}
