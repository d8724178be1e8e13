package occupancy

import "maps"

// Remote is another node's part of each room, kept by whoever links the nodes. It
// counts in Current, All and events. Make it with [Engine.Remote]. All its methods
// may be called from any goroutine.
type Remote struct {
	p    *publisher
	node string

	// publisher.mu protects the following.
	parts  map[*cell]uint64 // packed; no empty ones
	most   int              // as many as parts had since it was made
	closed bool
}

// Remote opens a part for another node. Each call opens one of its own; the name is
// a label.
func (e *Engine) Remote(node string) *Remote {
	return &Remote{p: e.pub, node: node, parts: map[*cell]uint64{}}
}

// Node is the label that the part was opened with.
func (r *Remote) Node() string { return r.node }

// Set says what the node's part of the room is now: absolute, so that a repeat is
// harmless, and zero to drop it. The error is ErrClosed, ErrRoomName,
// ErrTooManyRooms, or ErrCount where a count is below zero or all nodes' parts
// together are more than a room holds. Where they are not, but would be with this
// process's, the room's occupancy stops at that.
func (r *Remote) Set(room string, o Occupancy) error {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.closed || p.closed {
		return ErrClosed
	}
	if !validName(room) {
		return ErrRoomName
	}
	part, err := pack(o)
	if err != nil {
		return err
	}
	c := p.rooms.live(room)
	was := r.parts[c]
	if was == part {
		return nil
	}
	if c != nil {
		if x := c.extra.Load(); x != nil {
			if _, fits := add(x.remote.Load()-was, part); !fits {
				return ErrCount
			}
		}
	}
	if was == 0 {
		if c, _, err = p.hold(room); err != nil {
			return err
		}
	}
	r.put(c, part)
	r.most = max(r.most, len(r.parts))
	if r.most > 8*max(len(r.parts), blockLen) {
		// A map keeps the memory of what was deleted; another does not.
		parts := make(map[*cell]uint64, len(r.parts))
		maps.Copy(parts, r.parts)
		r.parts, r.most = parts, len(parts)
	}
	return nil
}

// Close drops all that the node contributed. It may be called more than once.
func (r *Remote) Close() {
	p := r.p
	for again := true; again; {
		p.mu.Lock()
		r.closed = true
		n := 0
		for c := range r.parts {
			if p.closed || n == blockLen {
				break
			}
			r.put(c, 0)
			n++
		}
		if again = n == blockLen; !again {
			r.parts = nil
		}
		p.mu.Unlock()
	}
}

// put replaces the part of a room that is held for it.
func (r *Remote) put(c *cell, part uint64) {
	x := c.extra.Load()
	x.remote.Store(x.remote.Load() - r.parts[c] + part)
	if part != 0 {
		r.parts[c] = part
		r.p.touch(c)
		return
	}
	delete(r.parts, c)
	r.p.touch(c)
	r.p.release(c, x)
}

// hold finds or makes a room and keeps it until release, whoever leaves it: for a
// subscription or a remote part. The caller has mu.
func (p *publisher) hold(room string) (*cell, *extra, error) {
	if p.closed {
		return nil, nil, ErrClosed
	}
	c, err := p.rooms.obtain(room)
	if err != nil {
		return nil, nil, err
	}
	// Nobody retires c now: that takes mu.
	x := c.extra.Load()
	if x == nil {
		// seq was never less than any version of this room, so versions go on
		// growing even where it was dropped and comes again.
		x = &extra{local: c.mark, version: p.seq}
		c.extra.Store(x)
	}
	if x.holders == 0 {
		if _, err := p.change(c, func(w uint64) (uint64, error) { return w | held, nil }); err != nil {
			return nil, nil, err
		}
	}
	x.holders++
	return c, x, nil
}

// release undoes one hold.
func (p *publisher) release(c *cell, x *extra) {
	if x.holders--; x.holders == 0 {
		_, _ = p.change(c, func(w uint64) (uint64, error) { return w &^ held, nil })
	}
}

// touch has the publisher look at c again.
func (p *publisher) touch(c *cell) {
	_, _ = p.change(c, func(w uint64) (uint64, error) { return w &^ idle, nil })
}
