package core

import (
	"encoding/binary"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/occupancy/occupancy"
)

// Trends is a message about the ranking of the trending rooms: a request for the history of
// the rooms if Pieces is 0, and otherwise one of the pieces of this history.
type Trends struct {
	From, To      Incarnation
	ID            uint64 // of the request
	AgeMS         uint64 // of the request: the time since the start of the sender
	Pieces, Piece uint64
	Rooms         map[string][3]float64
}

// Decode decodes a payload and reports whether it is valid.
func (m *Trends) Decode(payload []byte) bool {
	*m = Trends{}
	hasFrom, hasTo := false, false
	var rooms []string
	var numbers []byte
	ok := scan(payload, func(f field) bool {
		switch f.num {
		case 1:
			hasFrom = true
			return f.id(&m.From)
		case 2:
			hasTo = true
			return f.id(&m.To)
		case 3:
			return f.number(&m.ID)
		case 4:
			return f.number(&m.Pieces)
		case 5:
			return f.number(&m.Piece)
		case 6:
			rooms = append(rooms, string(f.bytes))
			return f.roomName()
		case 7:
			numbers = f.bytes
			return f.typ == protowire.BytesType
		case 8:
			return f.number(&m.AgeMS)
		}
		return true
	})
	if !ok || !hasFrom || !hasTo || m.Pieces > 0 && m.Piece >= m.Pieces || len(numbers) != 12*len(rooms) {
		return false
	}
	m.Rooms = make(map[string][3]float64, len(rooms))
	for i, room := range rooms {
		m.Rooms[room] = [3]float64{float(numbers[12*i:]), float(numbers[12*i+4:]), float(numbers[12*i+8:])}
	}
	return true
}

func float(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }

// Encode returns the messages with the pieces of the history, of at most limit bytes each, or
// the request if Rooms is nil.
func (m *Trends) Encode(limit int) [][]byte {
	const maxHead = 2*(2+16) + 4*(1+10) + 1 + 5
	type piece struct{ rooms, numbers []byte }
	pieces := []piece{{}}
	p := &pieces[0]
	for room, numbers := range m.Rooms {
		if maxHead+len(p.rooms)+len(p.numbers)+1+protowire.SizeBytes(len(room))+12 > limit {
			pieces = append(pieces, piece{})
			p = &pieces[len(pieces)-1]
		}
		p.rooms = appendBytes(p.rooms, 6, room)
		for _, f := range numbers {
			p.numbers = binary.LittleEndian.AppendUint32(p.numbers, math.Float32bits(float32(f)))
		}
	}
	messages := make([][]byte, len(pieces))
	for i, p := range pieces {
		b := appendBytes(nil, 1, m.From[:])
		b = appendBytes(b, 2, m.To[:])
		b = appendNumber(b, 3, m.ID)
		if m.Rooms != nil {
			b = appendNumber(b, 4, uint64(len(pieces)))
			b = appendNumber(b, 5, uint64(i))
		}
		b = appendBytes(append(b, p.rooms...), 7, p.numbers)
		messages[i] = appendNumber(b, 8, m.AgeMS)
	}
	return messages
}

// expecting is a Table that calls expect before it sets counts, because they are not
// arrivals.
type expecting struct {
	Table
	expect func(parts []occupancy.Part, away time.Duration)
	away   time.Duration // since the counts were removed from the totals, or 0 if they were never part of them
}

func (t expecting) Set(parts ...occupancy.Part) error {
	t.announce(parts)
	return t.Table.Set(parts...)
}

// announce calls expect with the increases of the counts, which can be negative.
func (t expecting) announce(parts []occupancy.Part) {
	increases := make([]occupancy.Part, len(parts))
	for i, p := range parts {
		before := t.Get(p.Room).Occupancy
		p.Occupancy.Connections -= before.Connections
		p.Occupancy.PresenceMembers -= before.PresenceMembers
		p.Occupancy.Users -= before.Users
		increases[i] = p
	}
	t.expect(increases, t.away)
}

// expecting returns t as a Table that calls Config.Expect, if there is one.
func (m *Machine) expecting(t Table, away time.Duration) Table {
	if m.cfg.Expect == nil {
		return t
	}
	return expecting{t, m.cfg.Expect, away}
}

// newPeerTime is the time after the start of a peer in which its counts are arrivals, even
// if they are received as a snapshot because the first digests of the peer were lost.
const newPeerTime = time.Minute

// isFirstSnapshot reports whether d is a part of the first snapshot of a peer that has been
// running for some time. Its clients were connected before.
func (p *peer) isFirstSnapshot(d span) bool {
	age := time.Duration(p.lastBeatNumber) * p.interval
	return !p.known && (d.reset || p.stream.snapshotEnd != 0) && !(p.lastBeatNumber > 0 && age < newPeerTime)
}
