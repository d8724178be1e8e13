package core

import "math/bits"

// shardCount is the number of shards. A room belongs to one shard.
const shardCount = 64

// shardSet is a set of shards.
type shardSet uint64

// shardOf returns the shard of a room.
func shardOf(room string) int { return int(mix(hashName(room)) >> (64 - 6)) }

func (s shardSet) has(shard int) bool { return s>>shard&1 != 0 }

func (s *shardSet) add(shard int) { *s |= 1 << shard }

// all calls f with each shard of the set.
func (s shardSet) all(f func(shard int)) {
	for ; s != 0; s &= s - 1 {
		f(bits.TrailingZeros64(uint64(s)))
	}
}

// shardRequest is what a node requests from a peer. An aggregator requests a client to publish its
// counts of the shards that the aggregator collects.
type shardRequest struct {
	collect shardSet // a client requests the aggregator to collect the counts of all clients
	want    shardSet // a client requests the aggregator to publish the sums to this client
}

// placement contains the aggregators of each shard: the primary, which publishes the shard to
// this node, and the backup, which only collects its counts. Each can be nil.
type placement [shardCount]struct{ primary, backup *peer }

// place returns the placement on the aggregators by rendezvous hashing: the aggregators with the
// largest hashes of shard and name. So if an aggregator is added or removed, only its own shards
// move. The names do not change when an aggregator restarts.
func place(aggregators []*peer) (to placement) {
	for shard := range to {
		var first, second uint64
		for _, p := range aggregators {
			switch weight := mix(hashName(p.name) ^ mix(uint64(shard)+1)); {
			case to[shard].primary == nil || weight > first:
				to[shard].backup, second = to[shard].primary, first
				to[shard].primary, first = p, weight
			case to[shard].backup == nil || weight > second:
				to[shard].backup, second = p, weight
			}
		}
	}
	return to
}
