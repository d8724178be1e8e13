package cluster

import "sync"

// BusEvents provides the Events channel of a [Bus], for implementations of Bus. Send
// never blocks, however many events are not read. Create it with [NewBusEvents]. Its
// methods may be called from any goroutine.
type BusEvents struct {
	out chan BusEvent // has room for one of each

	mu     sync.Mutex // held to send, and to replace unread events
	closed bool
}

// NewBusEvents returns a BusEvents without events.
func NewBusEvents() *BusEvents { return &BusEvents{out: make(chan BusEvent, 3)} }

// C returns the channel that Events should return.
func (b *BusEvents) C() <-chan BusEvent { return b.out }

// Send sends e to the channel, folded with the unread events. After it, each event is in
// the channel at most once, the newest state is the last event, and a Connected does not
// remove an unread Disconnected. After Close, Send does nothing.
func (b *BusEvents) Send(e BusEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	var down, up, lossy bool
	fold := func(e BusEvent) {
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
			fold(unread)
			continue
		default:
		}
		break
	}
	fold(e)
	// The channel has room for all three, as every sender holds mu.
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

// Close closes the channel. Unread events can still be received. Close may be called
// more than once.
func (b *BusEvents) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.out)
	}
}
