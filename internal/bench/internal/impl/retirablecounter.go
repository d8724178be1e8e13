package impl

import "sync/atomic"

// retirableCounter is an atomic counter that can be removed from a concurrent map without
// losing a Join. A Leave that reduces the count to zero retires the counter, unless a
// concurrent Join increments the counter first. The Leave then removes the retired counter
// from the map. A Join that finds a retired counter retries with a new counter. With a
// plain counter, a Join is lost if it increments a counter that a Leave is removing.
type retirableCounter struct{ n atomic.Int64 }

const retired = -1 << 62

// join reports whether it counted the connection. It returns false if the counter is
// retired.
func (r *retirableCounter) join() bool { return r.n.Add(1) > 0 }

// leave reports whether it retired the counter.
func (r *retirableCounter) leave() bool { return r.n.Add(-1) == 0 && r.n.CompareAndSwap(0, retired) }

func (r *retirableCounter) count() int { return int(max(0, r.n.Load())) }
