package cluster

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

const benchRooms = 100 // in a digest

// perRoom reports what a room of a digest takes.
func perRoom(b *testing.B, size int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRooms, "ns/room")
	if size > 0 {
		b.ReportMetric(float64(size)/benchRooms, "B/room")
	}
	b.ReportMetric(0, "ns/op")
}

// names are what rooms are called: 12 bytes.
func names() (all []string) {
	for i := range benchRooms {
		all = append(all, fmt.Sprintf("room-%07d", i*7919))
	}
	return all
}

func BenchmarkDigestEncode(b *testing.B) {
	b.ReportAllocs()
	w, rooms, size := digestWriter{name: "chat-1", limit: MinPayload}, names(), 0
	for b.Loop() {
		for i, room := range rooms {
			w.add(room, packed(i)<<32|packed(i/2))
		}
		size = len(w.finish(span{base: 100_000, seq: 100_001}))
	}
	perRoom(b, size)
}

func BenchmarkDigestEncodeGenerated(b *testing.B) {
	b.ReportAllocs()
	rooms, size := names(), 0
	var buf []byte
	for b.Loop() {
		d := clusterpb.Digest{Incarnation: make([]byte, 16), Name: "chat-1", Base: 100_000, Seq: 100_001}
		for i, room := range rooms {
			d.Rooms = append(d.Rooms, room)
			d.Connections = append(d.Connections, uint32(i))
			d.Members = append(d.Members, uint32(i/2))
		}
		var err error
		if buf, err = (proto.MarshalOptions{}).MarshalAppend(buf[:0], &d); err != nil {
			b.Fatal(err)
		}
		size = len(buf)
	}
	perRoom(b, size)
}

func benchDigest() []byte {
	w := digestWriter{name: "chat-1", limit: MinPayload}
	for i, room := range names() {
		w.add(room, packed(i)<<32|packed(i/2))
	}
	return w.finish(span{base: 100_000, seq: 100_001})
}

func BenchmarkDigestDecode(b *testing.B) {
	b.ReportAllocs()
	payload, sum := benchDigest(), packed(0)
	for b.Loop() {
		var d digest
		if !d.decode(payload) {
			b.Fatal("no digest")
		}
		d.each(func(_ []byte, p packed) { sum += p })
	}
	perRoom(b, len(payload))
}

func BenchmarkDigestDecodeGenerated(b *testing.B) {
	b.ReportAllocs()
	payload, sum := benchDigest(), uint32(0)
	for b.Loop() {
		var d clusterpb.Digest
		if err := proto.Unmarshal(payload, &d); err != nil {
			b.Fatal(err)
		}
		for i := range d.Rooms {
			sum += d.Connections[i] + d.Members[i]
		}
	}
	perRoom(b, len(payload))
}

// What a digest of changed rooms that are known costs its receiver, the engine's part
// included.
func BenchmarkDigestApply(b *testing.B) {
	b.ReportAllocs()
	e := occupancy.New()
	defer e.Close()
	p := newBenchPeer(link(e), "peer")
	var digests [2]digest
	for i := range digests {
		w := digestWriter{name: "chat-1", limit: MinPayload}
		for j, room := range names() {
			w.add(room, packed(i+j+1)<<32)
		}
		if !digests[i].decode(append([]byte(nil), w.finish(span{seq: 1})...)) {
			b.Fatal("no digest")
		}
		digests[i].each(p.set)
		p.flush()
	}
	n := 0
	for b.Loop() {
		digests[n%2].each(p.set)
		p.flush()
		n++
	}
	perRoom(b, 0)
}

func newBenchPeer(l *occupancy.Link, name string) *peer {
	cfg, err := newConfig(nil)
	if err != nil {
		panic(err)
	}
	cfg.maxRooms = 1 << 30
	return &peer{name: name, remote: l.Remote(name), batch: newBatch(), config: &cfg}
}

func link(e *occupancy.Engine) *occupancy.Link {
	l, err := e.Link(nil)
	if err != nil {
		panic(err)
	}
	return l
}

// weigh has a peer with so many rooms in an engine that knows them all by another one, and
// in one that does not know any, and returns what it weighs in bytes a room, without
// the bytes of names: the second with what the engine itself has for a room.
func weigh(rooms int) (more, first float64) {
	e := occupancy.New()
	defer e.Close()
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	l := link(e)
	one, other := newBenchPeer(l, "one"), newBenchPeer(l, "other")
	empty := heap()
	fill := func(p *peer) {
		var buf []byte
		for i := range rooms {
			buf = fmt.Appendf(buf[:0], "room-%07d", i)
			p.set(buf, packed(1+rand.Uint32N(100))<<32)
		}
		p.flush()
	}
	fill(one)
	before := heap()
	fill(other)
	after := heap()
	runtime.KeepAlive(one)
	runtime.KeepAlive(other)
	const name = 16 // what a string of 12 bytes takes
	return (after - before) / float64(rooms), (before-empty)/float64(rooms) - name
}

func BenchmarkPeersRoomMemory(b *testing.B) {
	for _, rooms := range []int{100_000, 200_000, 500_000, 1_000_000} {
		b.Run(fmt.Sprint(rooms), func(b *testing.B) {
			var more, first float64
			for b.Loop() {
				more, first = weigh(rooms)
			}
			b.ReportMetric(more, "B/room")
			b.ReportMetric(first, "B/room-with-engine's")
			b.ReportMetric(0, "ns/op")
		})
	}
}
