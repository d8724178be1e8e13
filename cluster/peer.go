package cluster

import (
	"time"

	"github.com/occupancy/occupancy"
)

// peer is what this node knows of another one. Node.mu protects it.
type peer struct {
	id     incarnation
	name   string
	remote *occupancy.Remote // its part, in the engine
	table  table             // its part, to be compared and replaced
	hash   uint64            // of the table
	config *config

	// What it published and how much of that is here.
	last     uint64 // all to this seq is
	head     uint64 // there is more to here
	reset    bool   // what is here is wrong: nothing but a snapshot counts
	snapshot uint64 // one comes, and is complete at this seq; 0: none
	stale    int    // rooms that it has not mentioned yet
	beat     uint64 // the number of its last heartbeat
	late     uint64 // the number of one that was late; 0: the last was not
	beatAt   time.Duration
	flags    uint64 // in it

	// Its life; times are since the node's start.
	state    State
	heard    time.Duration // its last heartbeat, or the end of our own doubt
	replaced bool          // another incarnation lives under its name
	asked    time.Duration // the last sync that we asked it for
	served   time.Duration // the last that it got
	sync     bool          // one is wanted, whatever seq says

	gone bool // dropped

	refused int  // rooms that are not in the engine as the peer has them
	over    bool // it has more rooms than may be
}

// behind reports whether something that it published is not here.
func (p *peer) behind() bool { return p.head > p.last || p.reset || p.snapshot != 0 }

// has reports whether what the digest says is here. A snapshot that is newer than all here
// is not, though it begins with what changed least: the peer no longer knows what changed
// since, and only who has all of the snapshot knows what is gone.
func (p *peer) has(s span) bool {
	return s.seq <= p.last && (!s.reset || s.snapshot <= max(p.last, p.snapshot))
}

// set takes what the peer said of a room.
func (p *peer) set(room []byte, now packed) {
	i := p.table.find(room)
	if i < 0 && now == 0 {
		return
	}
	if i < 0 || p.table.entries[i].word&stale != 0 && now != 0 {
		// One more. What a snapshot may be about to end does not keep out what it brings.
		if n, most := len(p.table.entries), p.config.maxRooms; n-p.stale >= most || i < 0 && n/2 >= most {
			p.over = true
			return
		}
	}
	if i < 0 {
		i = p.table.insert(string(room))
	}
	p.replace(i, now)
}

// replace sets entry i, and removes it if it is empty then.
func (p *peer) replace(i int, now packed) {
	e := &p.table.entries[i]
	before := e.word &^ flags
	p.hash += hashOf(e.room, now) - hashOf(e.room, before)
	p.stale -= count(e.word&stale != 0)
	was := e.word & refused
	e.word = now
	if now != before || was != 0 {
		if p.put(e.room, now) || now == 0 {
			p.refused -= count(was != 0)
		} else {
			e.word |= refused
			p.refused += count(was == 0)
		}
	}
	if now == 0 {
		p.table.remove(i)
	}
}

// put has the engine count it, or reports false: then it counts as it did.
func (p *peer) put(room string, now packed) bool {
	return p.may(now) && p.remote.Set(occupancy.Part{Room: room, Occupancy: now.unpack()}) == nil
}

// may reports whether a peer may claim that much.
func (p *peer) may(now packed) bool {
	most := uint64(p.config.maxCount)
	return now.connections() <= most && now.members() <= most
}

// retry has the engine count what it refused: there may be room for it now.
func (p *peer) retry() {
	for i := 0; p.refused > 0 && i < len(p.table.entries); i++ {
		if e := &p.table.entries[i]; e.word&refused != 0 && p.put(e.room, e.word&^flags) {
			e.word &^= refused
			p.refused--
		}
	}
}

// begin marks all that is here: what the snapshot does not mention is to go.
func (p *peer) begin(snapshot uint64) {
	for i := range p.table.entries {
		p.table.entries[i].word |= stale
	}
	p.stale = len(p.table.entries)
	p.snapshot, p.reset, p.over = snapshot, false, false
}

// complete ends a snapshot.
func (p *peer) complete() {
	p.snapshot = 0
	for i := len(p.table.entries) - 1; p.stale > 0 && i >= 0; i-- {
		// The entry that takes the place of a removed one was behind it, and is not stale.
		if p.table.entries[i].word&stale != 0 {
			p.replace(i, 0)
		}
	}
}

// part is what the peer said of the room, or nothing where that is more than it may.
func (p *peer) part(room string) packed {
	if i := p.table.find([]byte(room)); i >= 0 {
		if word := p.table.entries[i].word &^ flags; p.may(word) {
			return word
		}
	}
	return 0
}
