package cluster

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// incarnation is one start of one node: random bits.
type incarnation [16]byte

// shard is where messages to this node alone go.
func (id incarnation) shard() uint32 { return binary.BigEndian.Uint32(id[:]) }

// The bounds of what a message may say, beyond which it is malformed.
const (
	maxNodeName = 255
	maxRoomName = 1024 // as in every engine
)

// fieldVersion is least_version, in every message.
const fieldVersion = 15

// field is one field of a message, of a type that the protocol has.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	value uint64 // of a number
	bytes []byte // a piece of the message
}

// take cuts a field off. Not ok is what is no message.
func take(b []byte) (f field, rest []byte, ok bool) {
	// Most fields are rooms' names: one byte of tag, one of length. This halves the time.
	if len(b) >= 2 && b[0] < 0x80 && b[0]>>3 > 0 && b[0]&7 == byte(protowire.BytesType) && int(b[1]) <= min(len(b)-2, 0x7f) {
		end := 2 + int(b[1])
		return field{num: protowire.Number(b[0] >> 3), typ: protowire.BytesType, bytes: b[2:end]}, b[end:], true
	}
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num > protowire.MaxValidNumber { // ConsumeTag lets larger ones pass
		return f, nil, false
	}
	f.num, f.typ = num, typ
	b = b[n:]
	switch typ {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return f, nil, false
	}
	return f, b[n:], true
}

// scan gives each field of a message to known, which reports whether it may be as it is.
// It looks at the version itself. It reports whether the message is well formed.
func scan(b []byte, known func(f field) bool) bool {
	for len(b) > 0 {
		f, rest, ok := take(b)
		if !ok {
			return false
		}
		if f.num == fieldVersion {
			ok = f.version()
		} else {
			ok = known(f)
		}
		if !ok {
			return false
		}
		b = rest
	}
	return true
}

// The readers of fields report whether the field is of its type and its value may be.

func (f field) number(to *uint64) bool {
	*to = f.value
	return f.typ == protowire.VarintType
}

// version reports whether this version can read the message.
func (f field) version() bool { return f.typ == protowire.VarintType && f.value <= 1 }

func (f field) hash(to *uint64) bool {
	*to = f.value
	return f.typ == protowire.Fixed64Type
}

func (f field) incarnation(to *incarnation) bool {
	return f.typ == protowire.BytesType && copy(to[:], f.bytes) == len(to) && len(f.bytes) == len(to)
}

func (f field) nodeName(to *[]byte) bool {
	*to = f.bytes
	return f.typ == protowire.BytesType && len(f.bytes) <= maxNodeName && utf8.Valid(f.bytes)
}

func (f field) roomName() bool {
	return f.typ == protowire.BytesType && len(f.bytes) > 0 && len(f.bytes) <= maxRoomName && utf8.Valid(f.bytes)
}

// column is the counts of all rooms of a message, one varint each.
type column []byte

// column reads a column, which a message has at most once.
func (f field) column(to *column, length *int) bool {
	if f.typ != protowire.BytesType || *to != nil {
		return false
	}
	*to, *length = f.bytes, 0
	for b := f.bytes; len(b) > 0; *length++ {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 || v > maxCount {
			return false
		}
		b = b[n:]
	}
	return true
}

// next cuts a count off; there must be one.
func (c *column) next() packed {
	v, n := protowire.ConsumeVarint(*c)
	*c = (*c)[n:]
	return packed(v)
}

// Writers of fields. As everywhere in proto3, what is zero is left out.

func appendNumber(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendBytes[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}
