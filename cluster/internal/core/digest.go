package core

import "google.golang.org/protobuf/encoding/protowire"

// span is the range of changes that a digest contains: (base, seq].
type span struct {
	base, seq   uint64
	reset       bool   // the digest starts a snapshot
	snapshotEnd uint64 // the seq at which the snapshot is complete
}

// digest is a decoded Digest: a numbered list of changed rooms with their current counts.
// It refers to the payload.
type digest struct {
	span
	from    Incarnation
	name    []byte
	payload []byte
	rooms   int

	connections, members column
}

// The field numbers of the rooms of a Digest, and of their counts.
const (
	digestRooms       = 7
	digestConnections = 8
	digestMembers     = 9
)

// decode decodes the payload and reports whether it is a valid Digest. It checks the whole
// payload, so that a digest is applied entirely or not at all. It does not allocate.
func (d *digest) decode(payload []byte) bool {
	*d = digest{payload: payload}
	connections, members, hasID := 0, 0, false
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
			return f.column(&d.connections, &connections)
		case digestMembers:
			return f.column(&d.members, &members)
		}
		return true
	}) && hasID && connections == d.rooms && members == d.rooms && d.valid()
}

// valid reports whether the protocol allows a digest with this span.
func (s span) valid() bool {
	if s.reset {
		return s.base == 0 && s.seq <= s.snapshotEnd
	}
	return s.base < s.seq
}

// forEach calls f with the name and the counts of every room. The name refers to the
// payload.
func (d *digest) forEach(f func(room []byte, p roomCounts)) {
	connections, members := d.connections, d.members
	for b := d.payload; len(b) > 0; {
		var field field
		field, b, _ = nextField(b)
		if field.num == digestRooms {
			f(field.bytes, roomCounts(connections.next()<<32|members.next()))
		}
	}
}

// digestWriter encodes digests of at most limit bytes and reuses the buffers of its columns.
type digestWriter struct {
	id    Incarnation
	name  string
	limit int

	rooms, connections, members []byte
}

// maxDigestHead is the maximum size in bytes of a digest without rooms.
const maxDigestHead = (2 + 16) + (1 + 2 + MaxNodeName) + 3*(1+10) + 2 + 2*(1+5)

// add adds a room and returns true. If the digest would exceed limit, it returns false and
// adds nothing.
func (w *digestWriter) add(room string, p roomCounts) bool {
	size := 1 + protowire.SizeBytes(len(room)) + protowire.SizeVarint(p.connections()) + protowire.SizeVarint(p.members())
	if maxDigestHead+len(w.rooms)+len(w.connections)+len(w.members)+size > w.limit {
		return false
	}
	w.rooms = appendBytes(w.rooms, digestRooms, room)
	w.connections = protowire.AppendVarint(w.connections, p.connections())
	w.members = protowire.AppendVarint(w.members, p.members())
	return true
}

func (w *digestWriter) empty() bool { return len(w.rooms) == 0 }

// mark is a position in a digest to which the writer can return.
type mark struct{ rooms, connections, members int }

func (w *digestWriter) mark() mark { return mark{len(w.rooms), len(w.connections), len(w.members)} }

// rollback removes the rooms that were added after the mark.
func (w *digestWriter) rollback(m mark) {
	w.rooms, w.connections, w.members = w.rooms[:m.rooms], w.connections[:m.connections], w.members[:m.members]
}

// finish returns the digest and empties the writer.
func (w *digestWriter) finish(s span) []byte {
	size := maxDigestHead + len(w.rooms) + len(w.connections) + len(w.members)
	b := appendBytes(make([]byte, 0, size), 1, w.id[:])
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
	w.rollback(mark{})
	return b
}
