package impl

import "sync/atomic"

// bareSends is the baseline for events. It has a single room, and sends each event to all
// subscribers with bare non-blocking sends. It is not safe for concurrent use.
type bareSends struct {
	members     int
	subscribers []chan int
	delivered   atomic.Uint64
}

func newBareSends() Notifier { return new(bareSends) }

func (b *bareSends) Join(string, *Conn)  { b.change(1) }
func (b *bareSends) Leave(string, *Conn) { b.change(-1) }
func (b *bareSends) Count(string) int    { return b.members }
func (b *bareSends) Delivered() uint64   { return b.delivered.Load() }
func (b *bareSends) Close()              {}

func (b *bareSends) Subscribe(string) Subscription {
	events := make(chan int, 1)
	b.subscribers = append(b.subscribers, events)
	return subscribeTo(events)
}

func (b *bareSends) change(by int) {
	b.members += by
	sent := uint64(0)
	for _, events := range b.subscribers {
		if trySend(events, b.members) {
			sent++
		}
	}
	b.delivered.Add(sent)
}
