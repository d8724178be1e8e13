package impl

import "sync/atomic"

// retirable is an atomic counter that can be removed from a concurrent map without losing
// a Join. The Leave that reaches zero retires the counter, unless a Join comes first, and
// then removes it from the map. A Join that finds a retired counter tries again with a
// new one. With a plain counter, a map must keep every room forever or can lose a Join
// to a counter that is being removed.
type retirable struct{ n atomic.Int64 }

const retired = -1 << 62

// join reports whether it counted the connection. It returns false if the counter is
// retired.
func (r *retirable) join() bool { return r.n.Add(1) > 0 }

// leave reports whether it retired the counter.
func (r *retirable) leave() bool { return r.n.Add(-1) == 0 && r.n.CompareAndSwap(0, retired) }

func (r *retirable) count() int { return int(max(0, r.n.Load())) }
