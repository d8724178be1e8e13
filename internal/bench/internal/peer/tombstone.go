package peer

import "sync/atomic"

// tombstone is a counter that can die: who takes it to zero kills it, if nobody joins
// first, and then drops it from its map. A Join that finds it dead begins again with
// another. Without that, a concurrent map of atomic counters either keeps every room
// for ever or loses a Join to a counter that is just being dropped.
type tombstone struct{ n atomic.Int64 }

const dead = -1 << 62

// join reports whether it counted.
func (t *tombstone) join() bool { return t.n.Add(1) > 0 }

// leave reports whether it killed.
func (t *tombstone) leave() bool { return t.n.Add(-1) == 0 && t.n.CompareAndSwap(0, dead) }

func (t *tombstone) count() int { return int(max(0, t.n.Load())) }
