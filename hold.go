package occupancy

import "cmp"

// A hold keeps a room in existence for a subscription or another node's part, even if its
// last connection leaves. The caller of the functions below holds mu.

// holdSubscription finds or creates the room and holds it for a subscription.
//
// It refuses a new room if the number of rooms that are only subscribed to has reached the
// limit. A room that was occupied when it was subscribed to may empty later, which can bring
// that number above the limit, because a Leave cannot be refused. So the number of all rooms
// with subscriptions is limited, too. Its limit is three times as high: once for the
// occupied rooms, once for the rooms with parts of other nodes, and once for the rooms that
// are only subscribed to.
func (p *publisher) holdSubscription(room string) (*cell, *extra, error) {
	c := p.rooms.live(room)
	if c == nil || c.extra.Load() == nil || len(c.extra.Load().subs) == 0 {
		// This is a lower bound: rooms that have both another node's part and connections
		// of this process are counted in remoteRooms but not in heldOnly.
		onlySubscribed := p.rooms.number(heldOnly) - int64(p.remoteRooms)
		exists := c != nil && stateOf(c.word.Load()) != absent
		if p.full(onlySubscribed) && !exists || p.full(int64(p.subscribedRooms)/3) {
			return nil, nil, cmp.Or[error](p.rooms.check(room), ErrTooManyRooms)
		}
	}
	return p.hold(room)
}

// holdRemote finds or creates the room and holds it for a part of another node.
func (p *publisher) holdRemote(room string) (*cell, error) {
	if p.full(int64(p.remoteRooms)) {
		c := p.rooms.live(room)
		if c == nil || c.extra.Load() == nil || c.extra.Load().remoteParts == 0 {
			return nil, cmp.Or[error](p.rooms.check(room), ErrTooManyRooms)
		}
	}
	c, x, err := p.hold(room)
	if err != nil {
		return nil, err
	}
	if x.remoteParts++; x.remoteParts == 1 {
		p.remoteRooms++
	}
	return c, nil
}

func (p *publisher) full(rooms int64) bool {
	return p.rooms.limit > 0 && rooms >= int64(p.rooms.limit)
}

// hold finds or creates the room, and marks it as held. The caller adds what holds it.
func (p *publisher) hold(room string) (*cell, *extra, error) {
	if p.rooms.closed.Load() {
		return nil, nil, ErrClosed
	}
	c, err := p.rooms.obtainUnlimited(room)
	if err != nil {
		return nil, nil, err
	}
	// No other goroutine retires c now, because that requires mu.
	x := c.extra.Load()
	if x == nil {
		x = &extra{lastTotal: c.lastTotal(), version: c.last.seq}
		if x.version == 0 {
			x.version = p.seq // above all versions of an earlier cell of this room
		}
		c.extra.Store(x)
	}
	if !x.holds() {
		_, _ = p.change(c, false, setHeld) // never fails
	}
	return c, x, nil
}

// holds reports whether a subscription or another node's part holds the room.
func (x *extra) holds() bool { return len(x.subs) > 0 || x.remoteParts > 0 }

// release ends the hold of c if nothing holds it any more.
func (p *publisher) release(c *cell, x *extra) {
	if !x.holds() {
		_, _ = p.change(c, false, clearHeld)
		p.dropExtra(c)
	}
}

// dropExtra releases the extra of c if c does not need it any more. From then on the last
// publication of the total is that of this process's part, too. So every reader of the journal
// of local parts must have read both publications. A retired word has the queued bit.
func (p *publisher) dropExtra(c *cell) {
	x, oldest := c.extra.Load(), p.watchers.locals.oldest
	if x != nil && !x.holds() && !x.delivering && c.word.Load()&queued == 0 && c.last.seq < oldest && x.lastTotal.seq < oldest {
		c.last.seq = x.lastTotal.seq
		c.extra.Store(nil)
	}
}

// releaseRemote undoes one holdRemote.
func (p *publisher) releaseRemote(c *cell, x *extra) {
	if x.remoteParts--; x.remoteParts == 0 {
		p.remoteRooms--
	}
	p.release(c, x)
}
