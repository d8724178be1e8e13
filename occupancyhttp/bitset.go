package occupancyhttp

import (
	"math/bits"
	"sync/atomic"
)

// bitset has one bit for each slot of a stream.
type bitset [maxRooms / 64]atomic.Uint64

func (b *bitset) set(i int)      { b[i/64].Or(1 << (i % 64)) }
func (b *bitset) has(i int) bool { return b[i/64].Load()&(1<<(i%64)) != 0 }

// take calls f for every bit that is set, and clears it.
func (b *bitset) take(f func(i int)) {
	for word := range b {
		if b[word].Load() == 0 {
			continue
		}
		for set := b[word].Swap(0); set != 0; set &= set - 1 {
			f(word*64 + bits.TrailingZeros64(set))
		}
	}
}
