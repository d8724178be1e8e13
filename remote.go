package occupancy

import (
	"fmt"
	"iter"
)

// Part is one node's counts of one room.
type Part struct {
	Room      string
	Occupancy Occupancy
}

// Remote holds the counts of another node, one [Part] for each room. They are added to
// Current, All and the events of the engine. Create it with [Link.Remote]. All its methods may be
// called from any goroutine.
type Remote struct {
	l    *Link
	node string

	// publisher.mu protects the following.
	parts  map[*cell]uint64 // as words, or tooLarge; empty parts are not stored
	large  map[*cell]counts // the parts that do not fit into a word
	most   int              // see shrink
	closed bool
}

// SetError is the error of a [Remote.Set] that refused some of its parts.
// [errors.Is] matches it with the reason of each.
type SetError struct{ Refused []RefusedPart }

// RefusedPart is a part that [Remote.Set] refused, and the reason.
type RefusedPart struct {
	Part Part
	Err  error // ErrInvalidRoom, ErrTooManyRooms or ErrCount
}

func (e *SetError) Error() string {
	if len(e.Refused) == 0 {
		return "occupancy: parts refused"
	}
	first := e.Refused[0]
	return fmt.Sprintf("occupancy: %d parts refused; the first refused part is that of room %.100q: %v", len(e.Refused), first.Part.Room, first.Err)
}

// Unwrap returns the reasons.
func (e *SetError) Unwrap() []error {
	var errs []error
	for _, r := range e.Refused {
		errs = append(errs, r.Err)
	}
	return errs
}

// Node returns the name that was passed to [Link.Remote].
func (r *Remote) Node() string { return r.node }

// Set replaces the node's parts of the given rooms. The values are absolute, so
// repeating a call is harmless. An empty occupancy removes the part. Set locks the engine
// once for all parts, so a call should pass no more than about 500.
//
// If the Remote is closed, the error is ErrClosed and no part is set. Otherwise it is nil
// or a [*SetError], which lists the parts that were refused; the other parts are set. The
// reasons are ErrInvalidRoom; ErrTooManyRooms if the other nodes have as many rooms as
// [WithMaxRooms] allows; and ErrCount if a count is negative, if there are more users than
// members, or if the sum of all nodes' parts exceeds 2³¹−1. If only the sum with this
// process's own counts exceeds it, the part is accepted, and the room's occupancy is capped at
// 2³¹−1. An engine that is not [WithUsers] ignores the users.
func (r *Remote) Set(parts ...Part) error {
	p := r.l.e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.closed || p.rooms.closed.Load() {
		return ErrClosed
	}
	var refused []RefusedPart
	for _, part := range parts {
		if err := r.set(part); err != nil {
			refused = append(refused, RefusedPart{part, err})
		}
	}
	if refused != nil {
		return &SetError{refused}
	}
	return nil
}

// Get returns the node's part of the room as last set. It is empty for an unknown room
// and after Close. Part.Room is the engine's own copy of the name if the part is not
// empty. Get does not allocate.
func (r *Remote) Get(room string) Part {
	p := r.l.e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.rooms.cells.Load(room); ok {
		if part := r.part(c); part != (counts{}) {
			return Part{c.name, part.occupancy()}
		}
	}
	return Part{Room: room}
}

// All yields the node's parts that are not empty, in no particular order. It is weakly
// consistent, and the loop may call any method.
func (r *Remote) All() iter.Seq[Part] {
	return func(yield func(Part) bool) {
		p := r.l.e.pub
		block := make([]Part, 0, blockLen)
		p.mu.Lock()
		defer p.mu.Unlock()
		// flush yields the block without holding mu. Then the loop over the map continues.
		// That is no data race, because every access to the map holds mu.
		flush := func() bool {
			p.mu.Unlock()
			defer p.mu.Lock()
			for _, part := range block {
				if !yield(part) {
					return false
				}
			}
			block = block[:0]
			return true
		}
		for c := range r.parts {
			part := r.part(c) // not the loop's value: Set may have replaced the map
			if part == (counts{}) {
				continue
			}
			if block = append(block, Part{c.name, part.occupancy()}); len(block) == blockLen && !flush() {
				return
			}
		}
		flush()
	}
}

// Close removes all parts, which is published as a change of each room. It unlocks the
// engine after every 512 parts, so that other callers do not wait. Close may be called
// more than once; the error is always nil.
func (r *Remote) Close() error {
	p := r.l.e.pub
	for again := true; again; {
		p.mu.Lock()
		r.closed = true
		n := 0
		for c := range r.parts {
			if p.rooms.closed.Load() || n == quantum {
				break
			}
			r.put(c, counts{})
			n++
		}
		if again = n == quantum; !again {
			r.parts, r.large = nil, nil
			delete(r.l.remotes, r)
		}
		p.mu.Unlock()
	}
	return nil
}

// set is Set for one part. The caller holds mu, and the Remote is not closed.
func (r *Remote) set(part Part) error {
	p := r.l.e.pub
	if !validName(part.Room) {
		return ErrInvalidRoom
	}
	now, err := p.part(part.Occupancy)
	if err != nil {
		return err
	}
	c, _ := p.rooms.cells.Load(part.Room)
	was := r.part(c)
	if was == now {
		return nil
	}
	if c != nil {
		if x := c.extra.Load(); x != nil {
			if _, fits := x.remoteCounts().minus(was).plus(now); !fits {
				return ErrCount
			}
		}
	}
	if was == (counts{}) {
		if c, err = p.holdRemote(part.Room); err != nil {
			return err
		}
	}
	r.put(c, now)
	if r.most = max(r.most, len(r.parts)); len(r.parts) <= maxShard { // mu is locked, so do not copy a larger map
		shrink(&r.parts, &r.most, blockLen)
	}
	return nil
}

// part returns the counts of another node's part. An engine that does not count users
// ignores those of others.
func (p *publisher) part(o Occupancy) (counts, error) {
	n, err := o.counts()
	if p.users == nil {
		n.users = 0
	}
	return n, err
}

// put replaces the node's part of c. If the old part is empty, the caller has called
// holdRemote. If the new part is empty, put releases c.
func (r *Remote) put(c *cell, part counts) {
	p := r.l.e.pub
	x := c.extra.Load()
	sum, _ := x.remoteCounts().minus(r.part(c)).plus(part)
	x.remote.Store(&sum)
	_, _ = p.change(c, false, enqueue)
	delete(r.large, c)
	switch {
	case part == counts{}:
		delete(r.parts, c)
		p.releaseRemote(c, x)
	case part.connections|part.members|part.users <= maxLocal:
		r.parts[c] = withCounts(0, part)
	default:
		r.parts[c] = tooLarge
		r.large[c] = part
	}
}

// tooLarge stands for a part that does not fit into a word.
const tooLarge = retired

// part returns the node's part of c.
func (r *Remote) part(c *cell) counts {
	if part := r.parts[c]; part != tooLarge {
		return countsOf(part)
	}
	return r.large[c]
}
