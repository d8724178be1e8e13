package core

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

// someDigest returns a random digest in two forms: encoded by digestWriter, and as the
// generated type.
func someDigest(r *rand.Rand, rooms int) ([]byte, *clusterpb.Digest) {
	w := digestWriter{name: fmt.Sprint("node", r.IntN(100)), limit: 1 << 20}
	for i := range w.id {
		w.id[i] = byte(r.Uint32())
		if rooms%2 == 0 {
			w.to[i] = byte(r.Uint32())
		}
	}
	s := span{base: r.Uint64() >> r.IntN(64)}
	s.seq = s.base + 1 + uint64(r.IntN(1000))
	if r.IntN(3) == 0 {
		s = span{reset: true, seq: s.seq, snapshotEnd: s.seq + uint64(r.IntN(2))}
	}
	if r.IntN(2) == 0 {
		s.until = s.seq + uint64(r.IntN(2))
	}
	d := &clusterpb.Digest{
		Incarnation: w.id[:], Name: w.name, Base: s.base, Seq: s.seq, Reset_: s.reset, Snapshot: s.snapshotEnd, Until: s.until,
	}
	for i := range rooms {
		room := fmt.Sprintf("room-%d-é", i*r.IntN(1<<20))
		p := roomCounts(r.Uint32N(1<<31)>>r.IntN(31))<<32 | roomCounts(r.Uint32N(1<<31)>>r.IntN(31))
		if r.IntN(5) == 0 {
			p = interestOnly
		}
		count, added, removed := someUsers(r, s.until == 0)
		if !w.add(room, p, count, added, removed) {
			panic("the room does not fit")
		}
		d.Users, d.Added, d.Removed = append(d.Users, uint32(count)), append(d.Added, uint32(len(added))), append(d.Removed, uint32(len(removed)))
		d.Hashes = append(append(d.Hashes, added...), removed...)
		d.Rooms = append(d.Rooms, room)
		d.Connections = append(d.Connections, uint32(p>>32))
		d.Members = append(d.Members, uint32(p.members()))
	}
	d.To = toBytes(w.to)
	omitZeros(d)
	return slices.Clone(w.finish(s)), d
}

// someUsers returns users of a room in a digest. Most rooms have none.
func someUsers(r *rand.Rand, flush bool) (count uint64, added, removed []uint64) {
	if r.IntN(4) > 0 {
		return 0, nil, nil
	}
	for range r.IntN(4) {
		added = append(added, r.Uint64())
		if flush {
			removed = append(removed, r.Uint64())
		}
	}
	slices.Sort(added)
	slices.Sort(removed)
	return uint64(r.IntN(2) * r.IntN(1<<20)), added, removed
}

// omitZeros removes the columns of users that have no other values than zero.
func omitZeros(d *clusterpb.Digest) {
	for _, column := range []*[]uint32{&d.Users, &d.Added, &d.Removed} {
		if !slices.ContainsFunc(*column, func(n uint32) bool { return n != 0 }) {
			*column = nil
		}
	}
}

// asGenerated converts a decoded digest to the generated type.
func asGenerated(d *digest) *clusterpb.Digest {
	g := &clusterpb.Digest{
		Incarnation: d.from[:], Name: string(d.name), Base: d.base, Seq: d.seq, Reset_: d.reset, Snapshot: d.snapshotEnd, Until: d.until,
	}
	d.forEach(func(room []byte, p roomCounts, u userUpdate) {
		g.Rooms = append(g.Rooms, string(room))
		g.Connections = append(g.Connections, uint32(p>>32))
		g.Members = append(g.Members, uint32(p.members()))
		g.Users = append(g.Users, uint32(u.count))
		g.Added, g.Removed = append(g.Added, uint32(len(u.added)/8)), append(g.Removed, uint32(len(u.removed)/8))
		for _, b := range [][]byte{u.added, u.removed} {
			for ; len(b) > 0; b = b[8:] {
				g.Hashes = append(g.Hashes, binary.LittleEndian.Uint64(b))
			}
		}
	})
	g.To = toBytes(d.to)
	omitZeros(g)
	return g
}

// toBytes returns the field of a receiver, which is omitted if the message is for all nodes.
func toBytes(to Incarnation) []byte {
	if to == (Incarnation{}) {
		return nil
	}
	return to[:]
}

func asStrings(all [][]byte) (s []string) {
	for _, name := range all {
		s = append(s, string(name))
	}
	return s
}

func TestCodec_MatchesGeneratedCode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		b, want := someDigest(r, i%40)
		generated, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		require.NoError(t, err)
		require.Equal(t, generated, b)
		var d digest
		require.True(t, d.decode(generated))
		require.True(t, proto.Equal(want, asGenerated(&d)))
	}
	id := Incarnation{1, 2, 3}
	for _, c := range []struct {
		mine []byte
		want proto.Message
	}{
		{
			(&heartbeat{from: id, name: []byte("node"), seq: 1 << 40, hash: 7, flags: 1, beat: 3, minVersion: 1, maxVersion: 2, intervalMS: 1000, rooms: 9, maxRooms: 5, userKey: 8}).encode(),
			&clusterpb.Heartbeat{Incarnation: id[:], Name: "node", Seq: 1 << 40, Hash: 7, Flags: 1, Beat: 3, MinVersion: 1, MaxVersion: 2, IntervalMs: 1000, Rooms: 9, MaxRooms: 5, UserKey: 8},
		},
		{(&heartbeat{from: id, beat: 1}).encode(), &clusterpb.Heartbeat{Incarnation: id[:], Beat: 1}},
		{
			(&heartbeat{from: id, beat: 1, to: id, collect: 1 << 63, want: 2, cover: 3, nodes: 4, missing: [][]byte{[]byte("a"), []byte("b")}, heard: 5}).encode(),
			&clusterpb.Heartbeat{Incarnation: id[:], Beat: 1, To: id[:], Collect: 1 << 63, Want: 2, Cover: 3, Nodes: 4, Missing: []string{"a", "b"}, Heard: 5},
		},
		{(&bye{id}).encode(), &clusterpb.Bye{Incarnation: id[:]}},
		{
			(&syncRequest{from: id, to: Incarnation{9}, since: 5}).encode(),
			&clusterpb.SyncRequest{From: id[:], To: append([]byte{9}, make([]byte, 15)...), Since: 5},
		},
		{
			(&queryMessage{from: id, id: 4, rooms: [][]byte{[]byte("a"), []byte("b")}}).encode(),
			&clusterpb.Query{From: id[:], Id: 4, Rooms: []string{"a", "b"}},
		},
		{
			(&queryMessage{from: id, id: 4, top: 10, shards: 3}).encode(),
			&clusterpb.Query{From: id[:], Id: 4, Top: 10, Shards: 3},
		},
		{
			(&answer{from: id, to: id, id: 4, parts: []roomCounts{1 << 32}, rooms: [][]byte{{'a'}}, users: []byte{3}}).encode(),
			&clusterpb.Answer{From: id[:], To: id[:], Id: 4, Connections: []uint32{1}, Members: []uint32{0}, Rooms: []string{"a"}, Users: []uint32{3}},
		},
		{
			(&answer{from: id, to: id, id: 4, parts: []roomCounts{1<<32 | 300, 0}}).encode(),
			&clusterpb.Answer{From: id[:], To: id[:], Id: 4, Connections: []uint32{1, 0}, Members: []uint32{300, 0}},
		},
	} {
		generated, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.want)
		require.NoError(t, err)
		require.Equal(t, generated, c.mine, "%T", c.want)
	}
}

func TestDigestWriter_StaysWithinLimit(t *testing.T) {
	w := digestWriter{name: fmt.Sprintf("%255d", 1), limit: 32 << 10}
	for _, room := range []string{"r", fmt.Sprintf("%1024d", 1)} {
		n := 0
		for w.add(room, largestCount<<32|largestCount, largestCount, []uint64{1}, []uint64{2, 3}) {
			n++
		}
		require.Positive(t, n)
		b := w.finish(span{base: 1<<64 - 2, seq: 1<<64 - 1, snapshotEnd: 1<<64 - 1, until: 1<<64 - 1, reset: true})
		require.LessOrEqual(t, len(b), w.limit)
		require.Greater(t, len(b), w.limit-1100)
	}
}

func TestDigest_DecodeDoesNotAllocate(t *testing.T) {
	b, _ := someDigest(rand.New(rand.NewPCG(1, 2)), 100)
	sum := roomCounts(0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		var d digest
		if d.decode(b) {
			d.forEach(func(_ []byte, p roomCounts, _ userUpdate) { sum += p })
		}
	}))
	require.NotZero(t, sum)
}

func TestHash_MatchesPublishedValue(t *testing.T) {
	// Other versions and other programs must compute the same hash.
	require.Equal(t, uint64(0x674c0e20cbec0cb6), hashRoom("lobby", 103<<32|95, nil))
	require.Zero(t, hashRoom("lobby", 0, nil))
}

// FuzzDecode compares the decoders with the generated code. They must not panic.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for rooms := range 4 {
		b, _ := someDigest(r, rooms)
		f.Add(uint8(Digest), b)
	}
	id := Incarnation{1}
	f.Add(uint8(Heartbeat), (&heartbeat{from: id, name: []byte("n"), seq: 3, hash: 4, beat: 5, flags: 1}).encode())
	f.Add(uint8(Heartbeat), (&heartbeat{from: id, beat: 5, to: id, collect: 1, want: 2, cover: 3, nodes: 4, missing: [][]byte{{'n'}}}).encode())
	f.Add(uint8(Bye), (&bye{id}).encode())
	f.Add(uint8(SyncRequest), (&syncRequest{id, id, 5}).encode())
	f.Add(uint8(Query), (&queryMessage{from: id, id: 5, rooms: [][]byte{[]byte("room")}}).encode())
	f.Add(uint8(Answer), (&answer{from: id, to: id, id: 5, parts: []roomCounts{1, 2}}).encode())
	f.Add(uint8(Query), (&queryMessage{from: id, id: 5, top: 3, shards: 4}).encode())
	f.Add(uint8(Answer), (&answer{from: id, to: id, id: 5, parts: []roomCounts{1}, rooms: [][]byte{{'a'}}, users: []byte{3}}).encode())
	// The field number is greater than the maximum.
	f.Add(uint8(Bye), protowire.AppendVarint(protowire.AppendVarint((&bye{id}).encode(), 1<<33), 0))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		switch Kind(kind) {
		case Digest, SyncReply:
			var d digest
			agrees(t, b, d.decode(b), new(clusterpb.Digest), func(want proto.Message) {
				omitZeros(want.(*clusterpb.Digest))
				require.True(t, proto.Equal(want, asGenerated(&d)))
			})
		case Heartbeat:
			var h heartbeat
			agrees(t, b, h.decode(b) && !h.unsupported, new(clusterpb.Heartbeat), func(want proto.Message) {
				require.True(t, proto.Equal(want, &clusterpb.Heartbeat{
					Incarnation: h.from[:], Name: string(h.name), Seq: h.seq, Hash: h.hash, Flags: uint32(h.flags), Beat: h.beat,
					MinVersion: uint32(h.minVersion), MaxVersion: uint32(h.maxVersion), IntervalMs: h.intervalMS, Rooms: h.rooms, MaxRooms: h.maxRooms, UserKey: h.userKey,
					To: toBytes(h.to), Collect: uint64(h.collect), Want: uint64(h.want), Cover: uint64(h.cover), Nodes: h.nodes, Missing: asStrings(h.missing), Heard: h.heard,
				}))
			})
		case Bye:
			var m bye
			agrees(t, b, m.decode(b), new(clusterpb.Bye), func(want proto.Message) {
				require.True(t, proto.Equal(want, &clusterpb.Bye{Incarnation: m.from[:]}))
			})
		case SyncRequest:
			var m syncRequest
			agrees(t, b, m.decode(b), new(clusterpb.SyncRequest), func(want proto.Message) {
				require.True(t, proto.Equal(want, &clusterpb.SyncRequest{From: m.from[:], To: m.to[:], Since: m.since}))
			})
		case Query:
			var m queryMessage
			agrees(t, b, m.decode(b), new(clusterpb.Query), func(want proto.Message) {
				mine := &clusterpb.Query{From: m.from[:], Id: m.id, Top: uint32(m.top), Shards: uint64(m.shards)}
				for _, room := range m.rooms {
					mine.Rooms = append(mine.Rooms, string(room))
				}
				require.True(t, proto.Equal(want, mine))
			})
		case Answer:
			var m answer
			agrees(t, b, m.decode(b), new(clusterpb.Answer), func(want proto.Message) {
				mine := &clusterpb.Answer{From: m.from[:], To: m.to[:], Id: m.id, Rooms: asStrings(m.rooms)}
				for users := m.users; len(users) > 0; {
					mine.Users = append(mine.Users, uint32(users.next()))
				}
				for _, p := range m.parts {
					mine.Connections = append(mine.Connections, uint32(p.connections()))
					mine.Members = append(mine.Members, uint32(p.members()))
				}
				require.True(t, proto.Equal(want, mine))
			})
		}
	})
}

// agrees compares a decoded message with the generated code. It ignores unknown fields and
// the version. The generated code also accepts messages that the decoders reject: messages
// with invalid values, and messages whose known fields have a wrong type.
func agrees(t *testing.T, b []byte, taken bool, want proto.Message, equal func(want proto.Message)) {
	if !taken {
		return
	}
	require.NoError(t, proto.Unmarshal(b, want))
	want.ProtoReflect().SetUnknown(nil)
	want.ProtoReflect().Clear(want.ProtoReflect().Descriptor().Fields().ByNumber(fieldVersion))
	equal(want)
	// The decoders also accept the message when the generated code has encoded it.
	again, err := proto.Marshal(want)
	require.NoError(t, err)
	require.True(t, takes(want, again))
}

func takes(m proto.Message, b []byte) bool {
	switch m.(type) {
	case *clusterpb.Digest:
		return new(digest).decode(b)
	case *clusterpb.Heartbeat:
		return new(heartbeat).decode(b)
	case *clusterpb.Bye:
		return new(bye).decode(b)
	case *clusterpb.SyncRequest:
		return new(syncRequest).decode(b)
	case *clusterpb.Query:
		return new(queryMessage).decode(b)
	}
	return new(answer).decode(b)
}
