package occupancy

import (
	"fmt"
	"iter"
	"slices"
)

// Part is one node's counts of one room.
type Part struct {
	Room      string
	Occupancy Occupancy

	// Users are the hashes of the node's users, as computed by the function of [WithUserHash],
	// in ascending order. A user whose hash several nodes report, or who is a user of this
	// process, counts once.
	//
	// If Occupancy.Users is greater than the number of hashes, the hashes must be the
	// smallest of the node's hashes, and the engine estimates the room's users. It does so at
	// most once an interval: after a change of the part and, if the room has subscribers or
	// watchers, after a change of this process's users. With 4,096 hashes the standard error
	// is at most 1.6%. If there are no hashes, Occupancy.Users is added. If Occupancy.Users is
	// less than the number of hashes, it is ignored.
	//
	// Set keeps the slice, and Get and All return it: do not change it.
	Users []uint64
}

// Remote holds the counts of another node, one [Part] for each room. They are added to
// Current, All and the events of the engine. Create it with [Link.Remote]. All its methods may be
// called from any goroutine.
type Remote struct {
	l    *Link
	node string

	// publisher.mu protects the following.
	parts  map[*cell]uint64   // as words, or tooLarge; empty parts are not stored
	large  map[*cell]counts   // the parts that do not fit into a word
	users  map[*cell][]uint64 // the users of the parts that have users
	common []roomUser         // the users of this process that a call of Set newly reports
	closed bool

	most, mostUsers int // see shrink
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
// If the Remote is closed, the error is ErrClosed and no part is set. Otherwise it is nil or a
// [*SetError], which lists the parts that were refused; the other parts are set. The reasons are
// ErrInvalidRoom; ErrTooManyRooms if the other nodes have as many rooms as [WithMaxRooms] allows;
// and ErrCount if a count is negative, if Occupancy.Users exceeds the members, if Users is not
// sorted, or if the sum of all nodes' parts exceeds 2³¹−1. If only the sum with this process's own
// counts exceeds it, the part is accepted, and the room's occupancy is capped at 2³¹−1. An engine
// that is not [WithUsers] ignores the users. A room never has more users than members, whatever the
// parts contain.
//
// If the node newly reports a user who has a lease of this process that lingers in the room,
// Set ends that lease: see [Lease.Linger].
func (r *Remote) Set(parts ...Part) error {
	common, err := r.setAll(parts)
	for _, u := range common {
		r.l.e.lingering.endAll(u)
	}
	return err
}

// setAll is Set. It returns the users of this process that the node newly reports, if leases linger.
func (r *Remote) setAll(parts []Part) (common []roomUser, err error) {
	p := r.l.e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.closed || p.rooms.closed.Load() {
		return nil, ErrClosed
	}
	var refused []RefusedPart
	for _, part := range parts {
		if err := r.set(part); err != nil {
			refused = append(refused, RefusedPart{part, err})
		}
	}
	if r.l.e.lingering.len() > 0 {
		common = r.common
	}
	r.common = nil
	if refused != nil {
		return common, &SetError{refused}
	}
	return common, nil
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
			return Part{c.name, part.occupancy(), r.users[c]}
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
			if block = append(block, Part{c.name, part.occupancy(), r.users[c]}); len(block) == blockLen && !flush() {
				return
			}
		}
		flush()
	}
}

// Close removes all parts, which is published as a change of each room. It unlocks the
// engine after every 512 parts, or a few thousand users, so that other callers do not wait
// long. Close may be called more than once; the error is always nil.
func (r *Remote) Close() error {
	p := r.l.e.pub
	for again := true; again; {
		p.mu.Lock()
		r.closed = true
		n := 0
		for c := range r.parts {
			if p.rooms.closed.Load() || n >= quantum {
				break
			}
			n += 1 + len(r.users[c])/16
			r.put(c, counts{}, nil)
		}
		if again = n >= quantum && !p.rooms.closed.Load(); !again {
			r.parts, r.large, r.users = nil, nil, nil
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
	now, err := r.l.e.counts(part.Occupancy)
	if err != nil || !slices.IsSorted(part.Users) {
		return ErrCount
	}
	users := part.Users
	if now.members == 0 {
		users = nil
	}
	if p.users != nil {
		now.users = max(now.users, uint32(min(len(users), int(now.members))))
	}
	c, _ := p.rooms.cells.Load(part.Room)
	was, old := r.part(c), r.users[c]
	if was == now && slices.Equal(old, users) {
		return nil
	}
	if c != nil {
		if x := c.extra.Load(); x != nil {
			sum := x.parts().minus(p.index.unindexed(was, old))
			sum.users = 0 // there are not more users than members
			if _, fits := sum.plus(p.index.unindexed(now, users)); !fits {
				return ErrCount
			}
		}
	}
	if was == (counts{}) {
		if err := p.rooms.checkReported(part.Room); err != nil {
			return err
		}
		var x *extra
		if c, x, err = p.hold(part.Room); err != nil {
			return err
		}
		if x.remoteParts++; x.remoteParts == 1 {
			p.rooms.reported++
		}
	}
	r.put(c, now, users)
	r.most, r.mostUsers = max(r.most, len(r.parts)), max(r.mostUsers, len(r.users))
	if len(r.parts) <= maxShard { // mu is locked, so do not copy a larger map
		shrink(&r.parts, &r.most, blockLen)
		shrink(&r.users, &r.mostUsers, blockLen)
	}
	return nil
}

// put replaces the node's part of c. If the old part is empty, the caller has held c for the
// new part. If the new part is empty, put releases c.
func (r *Remote) put(c *cell, part counts, users []uint64) {
	p := r.l.e.pub
	x := c.extra.Load()
	was, old := r.part(c), r.users[c]
	sum := x.parts().minus(p.index.unindexed(was, old)).add(p.index.unindexed(part, users))
	x.sampled += p.index.sampled(part, users) - p.index.sampled(was, old)
	var left []uint64
	if p.index != nil {
		var parts int
		parts, left, r.common = p.index.replace(c, old, users, r.common)
		sum.users = uint32(int(sum.users) + parts)
	}
	if delete(r.users, c); len(users) > 0 {
		r.users[c] = users
	}
	delete(r.large, c)
	switch {
	case part == counts{}:
		delete(r.parts, c)
	case part.connections|part.members|part.users <= maxLocal:
		r.parts[c] = withCounts(0, part)
	default:
		r.parts[c] = tooLarge
		r.large[c] = part
	}
	x.remoteUsers = sum.users
	if x.sampled > 0 { // visit estimates the users, because that takes long
		sum.users = max(sum.users, x.remoteCounts().users, part.users)
	}
	x.remote.Store(&sum)
	p.index.finishReplace(c, left)
	p.change(c, enqueue)
	if part == (counts{}) {
		if x.remoteParts--; x.remoteParts == 0 {
			p.rooms.reported--
		}
		p.release(c, x)
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
