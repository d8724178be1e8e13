package cluster

import "sync"

// BusEvents is an Events channel as [Bus] promises it, for who writes one: telling never
// blocks, and however much is told and not read, what matters of it waits. Make it
// with [NewBusEvents]. Its methods may be called from any goroutine.
type BusEvents struct {
	out chan BusEvent // has room for one of each

	mu     sync.Mutex // held to send, and to replace what was not read
	closed bool
}

// NewBusEvents makes one on which nothing was told yet.
func NewBusEvents() *BusEvents { return &BusEvents{out: make(chan BusEvent, 3)} }

// C is the channel to return from Events.
func (b *BusEvents) C() <-chan BusEvent { return b.out }

// Tell tells e, folded with what was not read yet: no event waits more than once, the
// newest state is the last, and Connected stays behind a Disconnected. After Close it
// does nothing.
func (b *BusEvents) Tell(e BusEvent) {
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
	// There is room for all of them: nobody else sends.
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

// Close closes the channel behind what was told. It may be called more than once.
func (b *BusEvents) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.out)
	}
}
