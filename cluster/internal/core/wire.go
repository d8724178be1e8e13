package core

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Incarnation identifies one start of a node. It consists of random bits.
type Incarnation [16]byte

// Shard returns the shard of the messages to this node.
func (id Incarnation) Shard() uint32 { return binary.BigEndian.Uint32(id[:]) }

// The maximum lengths of names in bytes. A message with a longer name is malformed.
const (
	MaxNodeName = 255
	maxRoomName = 1024 // the limit of occupancy.ValidRoom
)

// fieldVersion is the number of the field least_version. Every message has this field. Its
// value is the oldest version of the protocol that can read the message.
const fieldVersion = 15

// version is the version of the protocol that this package implements.
const version = 1

// field is one field of a message.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	value uint64 // the value of a varint or fixed64
	bytes []byte // refers to the message
}

// nextField returns the first field of b and the bytes after it. It returns false if b
// does not start with a valid field.
func nextField(b []byte) (f field, rest []byte, ok bool) {
	// This fast path halves the time for room names with one byte of tag and one byte of
	// length. Most fields are such names.
	if len(b) >= 2 && b[0] < 0x80 && b[0]>>3 > 0 && b[0]&7 == byte(protowire.BytesType) && int(b[1]) <= min(len(b)-2, 0x7f) {
		end := 2 + int(b[1])
		return field{num: protowire.Number(b[0] >> 3), typ: protowire.BytesType, bytes: b[2:end]}, b[end:], true
	}
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num > protowire.MaxValidNumber { // ConsumeTag does not check the maximum
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

// scan calls the function handle for each field of a message except the version. It reports
// whether the message is valid: all fields can be decoded, the version is supported, and
// every call of handle has returned true.
func scan(b []byte, handle func(f field) bool) bool {
	return scanAll(b, func(f field) bool {
		if f.num == fieldVersion {
			return f.typ == protowire.VarintType && f.value <= version
		}
		return handle(f)
	})
}

// scanAll is scan for all fields and all versions.
func scanAll(b []byte, handle func(f field) bool) bool {
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok || !handle(f) {
			return false
		}
		b = rest
	}
	return true
}

// The following methods read the value of a field. They report whether the field has the
// right type and a valid value.

func (f field) number(to *uint64) bool {
	*to = f.value
	return f.typ == protowire.VarintType
}

func (f field) hash(to *uint64) bool {
	*to = f.value
	return f.typ == protowire.Fixed64Type
}

func (f field) id(to *Incarnation) bool {
	return f.typ == protowire.BytesType && copy(to[:], f.bytes) == len(to) && len(f.bytes) == len(to)
}

func (f field) nodeName(to *[]byte) bool {
	*to = f.bytes
	return f.typ == protowire.BytesType && len(f.bytes) <= MaxNodeName && utf8.Valid(f.bytes)
}

func (f field) roomName() bool {
	return f.typ == protowire.BytesType && len(f.bytes) > 0 && len(f.bytes) <= maxRoomName && utf8.Valid(f.bytes)
}

// column contains one count for each room of a message. Each count is a varint.
type column []byte

// column reads a column and its length. A message contains each column at most once.
func (f field) column(to *column, length *int) bool { return f.columnUpTo(to, length, largestCount) }

// columnUpTo is column with a largest value.
func (f field) columnUpTo(to *column, length *int, largest uint64) bool {
	if f.typ != protowire.BytesType || *to != nil {
		return false
	}
	*to, *length = f.bytes, 0
	for b := f.bytes; len(b) > 0; *length++ {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 || v > largest {
			return false
		}
		b = b[n:]
	}
	return true
}

// next removes the first count and returns it. An empty column has zeros.
func (c *column) next() uint64 {
	if len(*c) == 0 {
		return 0
	}
	v, n := protowire.ConsumeVarint(*c)
	*c = (*c)[n:]
	return v
}

func (c column) sum() (sum uint64) {
	for len(c) > 0 {
		sum += c.next()
	}
	return sum
}

// The following functions append a field. As always in proto3, zero values are omitted.

func appendNumber(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendHash(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), v)
}

func appendBytes[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendID(b []byte, num protowire.Number, id Incarnation) []byte {
	if id == (Incarnation{}) {
		return b
	}
	return appendBytes(b, num, id[:])
}
