package core

import "google.golang.org/protobuf/encoding/protowire"

// The following types are the messages, except Digest. The method decode decodes a payload
// and reports whether it is valid. The method append encodes the message.

type heartbeat struct {
	from  Incarnation
	name  []byte
	seq   uint64
	hash  uint64
	flags uint64
	beat  uint64

	minVersion, maxVersion uint64 // the versions that the sender can read
	intervalMS             uint64
	rooms, maxRooms        uint64
	userKey                uint64

	// In a service with aggregators, a heartbeat to one node is about the feed to this node.
	to            Incarnation // the receiver, or zero for all nodes
	collect, want shardSet    // see peer
	cover         shardSet    // the shards whose rooms the feed contains
	nodes         uint64      // of an aggregator: the number of running nodes whose counts have arrived, or 0 if it has just started
	heard         uint64      // the number of the last heartbeat from the receiver
	missing       [][]byte    // of an aggregator: the names of nodes that are not counted, but may return

	unsupported bool // the sender's version is unsupported: only from, name, flags, the versions, intervalMS and rooms are valid
}

const (
	flagDegraded   = 1
	flagBacklog    = 2
	flagClient     = 4  // the role of the sender is Client
	flagAggregator = 8  // the role of the sender is Aggregator
	flagEverything = 16 // the sender is interested in all rooms
)

// maxMissing limits the number of names in a heartbeat.
const maxMissing = 16

// role returns the role of the sender.
func (h *heartbeat) role() Role {
	switch {
	case h.flags&flagClient != 0:
		return Client
	case h.flags&flagAggregator != 0:
		return Aggregator
	}
	return Mesh
}

func (h *heartbeat) decode(payload []byte) bool {
	*h = heartbeat{}
	hasID, valid, least := false, true, uint64(0)
	ok := scanAll(payload, func(f field) bool {
		switch f.num {
		case 1:
			hasID = true
			return f.id(&h.from)
		case 2:
			return f.nodeName(&h.name)
		case 3:
			valid = f.number(&h.seq) && valid
		case 4:
			valid = f.hash(&h.hash) && valid
		case 5:
			return f.number(&h.flags)
		case 6:
			valid = f.number(&h.beat) && valid
		case 7:
			return f.number(&h.minVersion)
		case 8:
			return f.number(&h.maxVersion)
		case 9:
			return f.number(&h.intervalMS)
		case 10:
			return f.number(&h.rooms)
		case 11:
			valid = f.number(&h.maxRooms) && valid
		case 12:
			valid = f.hash(&h.userKey) && valid
		case 13:
			valid = f.id(&h.to) && valid
		case 14:
			valid = f.hash((*uint64)(&h.collect)) && valid
		case 16:
			valid = f.hash((*uint64)(&h.want)) && valid
		case 17:
			valid = f.hash((*uint64)(&h.cover)) && valid
		case 18:
			valid = f.number(&h.nodes) && valid
		case 19:
			var name []byte
			valid = f.nodeName(&name) && len(h.missing) < maxMissing && valid
			h.missing = append(h.missing, name)
		case 20:
			valid = f.number(&h.heard) && valid
		case fieldVersion:
			return f.number(&least)
		}
		return true
	})
	h.unsupported = max(least, h.minVersion) > version
	return ok && hasID && (h.unsupported || valid && h.beat > 0)
}

func (h *heartbeat) encode() []byte {
	b := appendBytes(nil, 1, h.from[:])
	b = appendBytes(b, 2, h.name)
	b = appendNumber(b, 3, h.seq)
	b = appendHash(b, 4, h.hash)
	b = appendNumber(b, 5, h.flags)
	b = appendNumber(b, 6, h.beat)
	b = appendNumber(b, 7, h.minVersion)
	b = appendNumber(b, 8, h.maxVersion)
	b = appendNumber(b, 9, h.intervalMS)
	b = appendNumber(b, 10, h.rooms)
	b = appendNumber(b, 11, h.maxRooms)
	b = appendHash(b, 12, h.userKey)
	b = appendID(b, 13, h.to)
	b = appendHash(b, 14, uint64(h.collect))
	b = appendHash(b, 16, uint64(h.want))
	b = appendHash(b, 17, uint64(h.cover))
	b = appendNumber(b, 18, h.nodes)
	for _, name := range h.missing {
		b = appendBytes(b, 19, name)
	}
	return appendNumber(b, 20, h.heard)
}

type bye struct{ from Incarnation }

func (m *bye) decode(payload []byte) bool {
	hasID := false
	return scanAll(payload, func(f field) bool {
		if f.num == 1 {
			hasID = true
			return f.id(&m.from)
		}
		return true
	}) && hasID
}

func (m *bye) encode() []byte { return appendBytes(nil, 1, m.from[:]) }

type syncRequest struct {
	from, to Incarnation
	since    uint64
}

func (r *syncRequest) decode(payload []byte) bool {
	*r = syncRequest{}
	ids := 0
	return scan(payload, func(f field) bool {
		switch f.num {
		case 1:
			ids |= 1
			return f.id(&r.from)
		case 2:
			ids |= 2
			return f.id(&r.to)
		case 3:
			return f.number(&r.since)
		}
		return true
	}) && ids == 1|2
}

func (r *syncRequest) encode() []byte {
	b := appendBytes(nil, 1, r.from[:])
	b = appendBytes(b, 2, r.to[:])
	return appendNumber(b, 3, r.since)
}

type queryMessage struct {
	from  Incarnation
	id    uint64
	rooms [][]byte // refer to the payload

	top    uint64   // if it is not 0, the query is for this number of rooms with the most connections
	shards shardSet // of these shards
}

func (q *queryMessage) decode(payload []byte) bool {
	*q = queryMessage{}
	hasID := false
	return scan(payload, func(f field) bool {
		switch f.num {
		case 1:
			hasID = true
			return f.id(&q.from)
		case 2:
			return f.number(&q.id)
		case 3:
			if len(q.rooms) == maxQueryRooms || !f.roomName() {
				return false
			}
			q.rooms = append(q.rooms, f.bytes)
		case 4:
			return f.number(&q.top)
		case 5:
			return f.hash((*uint64)(&q.shards))
		}
		return true
	}) && hasID && (len(q.rooms) > 0) != (q.top > 0)
}

func (q *queryMessage) encode() []byte {
	b := appendBytes(nil, 1, q.from[:])
	b = appendNumber(b, 2, q.id)
	for _, room := range q.rooms {
		b = appendBytes(b, 3, room)
	}
	b = appendNumber(b, 4, q.top)
	return appendHash(b, 5, uint64(q.shards))
}

type answer struct {
	from, to Incarnation
	id       uint64
	parts    []roomCounts
	rooms    [][]byte // of parts, if the query is for the rooms with the most connections
	users    column   // of parts, from an aggregator; empty if all are 0
}

func (a *answer) decode(payload []byte) bool {
	*a = answer{}
	ids, length, users := 0, [2]int{}, 0
	var columns [2]column
	ok := scan(payload, func(f field) bool {
		switch f.num {
		case 1:
			ids |= 1
			return f.id(&a.from)
		case 2:
			ids |= 2
			return f.id(&a.to)
		case 3:
			return f.number(&a.id)
		case 4, 5:
			i := f.num - 4
			return f.column(&columns[i], &length[i])
		case 6:
			a.rooms = append(a.rooms, f.bytes)
			return f.roomName()
		case 7:
			return f.column(&a.users, &users)
		}
		return true
	})
	if !ok || ids != 1|2 || length[0] != length[1] || length[0] > maxQueryRooms || users > length[0] ||
		len(a.rooms) > 0 && len(a.rooms) != length[0] {
		return false
	}
	for range length[0] {
		a.parts = append(a.parts, roomCounts(columns[0].next()<<32|columns[1].next()))
	}
	return true
}

func (a *answer) encode() []byte {
	b := appendBytes(nil, 1, a.from[:])
	b = appendBytes(b, 2, a.to[:])
	b = appendNumber(b, 3, a.id)
	var connections, members []byte
	for _, p := range a.parts {
		connections = protowire.AppendVarint(connections, p.connections())
		members = protowire.AppendVarint(members, p.members())
	}
	b = appendBytes(b, 4, connections)
	b = appendBytes(b, 5, members)
	for _, room := range a.rooms {
		b = appendBytes(b, 6, room)
	}
	return appendBytes(b, 7, []byte(a.users))
}
