package core

import "google.golang.org/protobuf/encoding/protowire"

// span is the range of changes that a digest contains: (base, seq].
type span struct {
	base, seq   uint64
	reset       bool   // the digest starts a snapshot
	snapshotEnd uint64 // in a snapshot: the seq at which it is complete; otherwise 0
	until       uint64 // in a reply: the seq of the sender when it encoded the digest; otherwise 0
}

// digest is a decoded Digest: a numbered list of changed rooms with their current counts.
// It refers to the payload.
type digest struct {
	span
	from    Incarnation
	to      Incarnation // the receiver, or zero for all nodes
	name    []byte
	payload []byte
	rooms   int

	connections, members       column
	userCounts, added, removed column // each of them is empty if all its values are 0
	hashes                     []byte
}

// The field numbers of the rooms of a Digest, and of their counts and users.
const (
	digestRooms       = 7
	digestConnections = 8
	digestMembers     = 9
	digestUntil       = 10
	digestUserCounts  = 11
	digestAdded       = 12
	digestRemoved     = 13
	digestHashes      = 14
	digestTo          = 16
)

// decode decodes the payload and reports whether it is a valid Digest. It checks the whole
// payload, so that a digest is applied entirely or not at all. It does not allocate.
func (d *digest) decode(payload []byte) bool {
	*d = digest{payload: payload}
	connections, members, hasID := 0, 0, false
	userCounts, added, removed := 0, 0, 0
	return scan(payload, func(f field) bool {
		switch f.num {
		case 1:
			hasID = true
			return f.id(&d.from)
		case 2:
			return f.nodeName(&d.name)
		case 3:
			return f.number(&d.base)
		case 4:
			return f.number(&d.seq)
		case 5:
			d.reset = f.value != 0
			return f.typ == protowire.VarintType
		case 6:
			return f.number(&d.snapshotEnd)
		case digestRooms:
			d.rooms++
			return f.roomName()
		case digestConnections:
			return f.columnUpTo(&d.connections, &connections, uint64(interestOnly>>32))
		case digestMembers:
			return f.column(&d.members, &members)
		case digestUntil:
			return f.number(&d.until)
		case digestUserCounts:
			return f.column(&d.userCounts, &userCounts)
		case digestAdded:
			return f.column(&d.added, &added)
		case digestRemoved:
			return f.column(&d.removed, &removed)
		case digestHashes:
			valid := f.typ == protowire.BytesType && d.hashes == nil && len(f.bytes)%8 == 0
			d.hashes = f.bytes
			return valid
		case digestTo:
			return f.id(&d.to)
		}
		return true
	}) && hasID && connections == d.rooms && members == d.rooms &&
		(userCounts == 0 || userCounts == d.rooms) && (added == 0 || added == d.rooms) && (removed == 0 || removed == d.rooms) &&
		d.added.sum()+d.removed.sum() == uint64(len(d.hashes)/8) && d.valid()
}

// valid reports whether the protocol allows a digest with this span.
func (s span) valid() bool {
	if s.reset {
		return s.base == 0 && s.seq <= s.snapshotEnd && (s.until == 0 || s.seq <= s.until)
	}
	return s.base < s.seq && (s.until == 0 || s.seq <= s.until)
}

// forEach calls f with the name, the counts and the users of every room. The name refers to the
// payload.
func (d *digest) forEach(f func(room []byte, p roomCounts, u userUpdate)) {
	connections, members := d.connections, d.members
	userCounts, added, removed, hashes := d.userCounts, d.added, d.removed, d.hashes
	take := func(n uint64) (b []byte) {
		b, hashes = hashes[:8*n], hashes[8*n:]
		return b
	}
	for b := d.payload; len(b) > 0; {
		var field field
		field, b, _ = nextField(b)
		if field.num == digestRooms {
			u := userUpdate{whole: d.until != 0, count: userCounts.next()}
			u.added = take(added.next())
			u.removed = take(removed.next())
			f(field.bytes, roomCounts(connections.next()<<32|members.next()), u)
		}
	}
}

// digestWriter encodes digests of at most limit bytes and reuses the buffers of its columns.
type digestWriter struct {
	id    Incarnation
	name  string
	to    Incarnation // see digest
	limit int

	n                           int // the number of rooms
	rooms, connections, members []byte

	// The columns of the users. A column is written if it has a value that is not 0.
	userCounts, added, removed          []byte
	hasUserCounts, hasAdded, hasRemoved bool
	hashes                              []byte
}

// maxDigestHead is the maximum size in bytes of a digest without rooms.
const maxDigestHead = (2 + 16) + (3 + 16) + (1 + 2 + MaxNodeName) + 4*(1+10) + 2 + 6*(1+5)

// add adds a room and returns true. If the digest would exceed limit, it returns false and
// adds nothing.
func (w *digestWriter) add(room string, p roomCounts, count uint64, added, removed []uint64) bool {
	a, r := uint64(len(added)), uint64(len(removed))
	size := 1 + protowire.SizeBytes(len(room)) + protowire.SizeVarint(uint64(p>>32)) + protowire.SizeVarint(p.members()) +
		protowire.SizeVarint(count) + protowire.SizeVarint(a) + protowire.SizeVarint(r) + 8*int(a+r)
	if w.size()+size > w.limit {
		return false
	}
	w.n++
	w.rooms = appendBytes(w.rooms, digestRooms, room)
	w.connections = protowire.AppendVarint(w.connections, uint64(p>>32))
	w.members = protowire.AppendVarint(w.members, p.members())
	w.userCounts = protowire.AppendVarint(w.userCounts, count)
	w.added = protowire.AppendVarint(w.added, a)
	w.removed = protowire.AppendVarint(w.removed, r)
	w.hasUserCounts, w.hasAdded, w.hasRemoved = w.hasUserCounts || count > 0, w.hasAdded || a > 0, w.hasRemoved || r > 0
	w.hashes = appendHashes(appendHashes(w.hashes, added), removed)
	return true
}

// size returns the maximum size of the digest.
func (w *digestWriter) size() int {
	return maxDigestHead + len(w.rooms) + len(w.connections) + len(w.members) +
		len(w.userCounts) + len(w.added) + len(w.removed) + len(w.hashes)
}

// finish returns the digest and empties the writer.
func (w *digestWriter) finish(s span) []byte {
	b := appendBytes(make([]byte, 0, w.size()), 1, w.id[:])
	b = appendBytes(b, 2, w.name)
	b = appendNumber(b, 3, s.base)
	b = appendNumber(b, 4, s.seq)
	if s.reset {
		b = appendNumber(b, 5, 1)
	}
	b = appendNumber(b, 6, s.snapshotEnd)
	b = append(b, w.rooms...)
	b = appendBytes(b, digestConnections, w.connections)
	b = appendBytes(b, digestMembers, w.members)
	b = appendNumber(b, digestUntil, s.until)
	if w.hasUserCounts {
		b = appendBytes(b, digestUserCounts, w.userCounts)
	}
	if w.hasAdded {
		b = appendBytes(b, digestAdded, w.added)
	}
	if w.hasRemoved {
		b = appendBytes(b, digestRemoved, w.removed)
	}
	b = appendBytes(b, digestHashes, w.hashes)
	b = appendID(b, digestTo, w.to)
	w.rooms, w.connections, w.members = w.rooms[:0], w.connections[:0], w.members[:0]
	w.userCounts, w.added, w.removed, w.hashes = w.userCounts[:0], w.added[:0], w.removed[:0], w.hashes[:0]
	w.n, w.hasUserCounts, w.hasAdded, w.hasRemoved = 0, false, false, false
	return b
}
