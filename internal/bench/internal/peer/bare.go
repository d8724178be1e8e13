package peer

import "sync/atomic"

// bare is the least that telling the subscribers of one room can cost: a
// non-blocking send to each, one after another. Only one goroutine may use it.
type bare struct {
	members int
	subs    []chan int
	told    atomic.Uint64
}

func newBare() Teller { return new(bare) }

func (b *bare) Join(string, *Conn)  { b.change(1) }
func (b *bare) Leave(string, *Conn) { b.change(-1) }
func (b *bare) Count(string) int    { return b.members }
func (b *bare) Told() uint64        { return b.told.Load() }
func (b *bare) Close()              {}

func (b *bare) Subscribe(string) Subscription {
	events := make(chan int, 1)
	b.subs = append(b.subs, events)
	return feed[int]{events, itself}
}

func (b *bare) change(by int) {
	b.members += by
	told := uint64(0)
	for _, events := range b.subs {
		if offer(events, b.members) {
			told++
		}
	}
	b.told.Add(told)
}
