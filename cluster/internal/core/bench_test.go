package core

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

const benchRooms = 100 // rooms in a digest

// perRoom reports the time and the number of bytes for each room of a digest.
func perRoom(b *testing.B, size int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRooms, "ns/room")
	if size > 0 {
		b.ReportMetric(float64(size)/benchRooms, "B/room")
	}
	b.ReportMetric(0, "ns/op")
}

// names returns room names of 12 bytes.
func names() (all []string) {
	for i := range benchRooms {
		all = append(all, fmt.Sprintf("room-%07d", i*7919))
	}
	return all
}

func BenchmarkDigestEncode(b *testing.B) {
	b.ReportAllocs()
	w, rooms, size := digestWriter{name: "chat-1", limit: 32 << 10}, names(), 0
	for b.Loop() {
		for i, room := range rooms {
			w.add(room, roomCounts(i)<<32|roomCounts(i/2), 0, nil, nil)
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
	w := digestWriter{name: "chat-1", limit: 32 << 10}
	for i, room := range names() {
		w.add(room, roomCounts(i)<<32|roomCounts(i/2), 0, nil, nil)
	}
	return w.finish(span{base: 100_000, seq: 100_001})
}

func BenchmarkDigestDecode(b *testing.B) {
	b.ReportAllocs()
	payload, sum := benchDigest(), roomCounts(0)
	for b.Loop() {
		var d digest
		if !d.decode(payload) {
			b.Fatal("no digest")
		}
		d.forEach(func(_ []byte, p roomCounts, _ userUpdate) { sum += p })
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

// The receiver's time for a digest with known rooms. It includes the time of the engine.
func BenchmarkDigestApply(b *testing.B) {
	b.ReportAllocs()
	e := occupancy.New()
	defer e.Close()
	p := newBenchTable(link(e), "peer")
	var digests [2]digest
	for i := range digests {
		w := digestWriter{name: "chat-1", limit: 32 << 10}
		for j, room := range names() {
			w.add(room, roomCounts(i+j+1)<<32, 0, nil, nil)
		}
		if !digests[i].decode(append([]byte(nil), w.finish(span{seq: 1})...)) {
			b.Fatal("no digest")
		}
		digests[i].forEach(p.set)
		p.applyBatch()
	}
	n := 0
	for b.Loop() {
		digests[n%2].forEach(p.set)
		p.applyBatch()
		n++
	}
	perRoom(b, 0)
}

func newBenchTable(l *occupancy.Link, name string) *table {
	return &table{cfg: &Config{MaxRooms: 1 << 30, MaxCount: 1 << 30, MaxUsers: MaxUsers, Yield: func() {}}, batch: new(batch), accepted: l.Remote(name)}
}

func link(e *occupancy.Engine) *occupancy.Link {
	l, err := e.Link(nil)
	if err != nil {
		panic(err)
	}
	return l
}

// measureMemory adds the same rooms to two peers of one engine. It returns the memory for
// each room in bytes, without the name. The memory for the first peer includes the memory
// that the engine needs for the room; the memory for the second peer does not.
func measureMemory(rooms int) (second, first float64) {
	e := occupancy.New()
	defer e.Close()
	l := link(e)
	one, other := newBenchTable(l, "one"), newBenchTable(l, "other")
	empty := heapSize()
	connections := 0
	fill := func(p *table) {
		var buf []byte
		for i := range rooms {
			buf = fmt.Appendf(buf[:0], "room-%07d", i)
			n := 1 + rand.IntN(100)
			connections += n
			p.set(buf, roomCounts(n)<<32, userUpdate{})
		}
		p.applyBatch()
		for e.Stats().Total.Connections != connections { // the engine has changes to publish
			time.Sleep(time.Millisecond)
		}
	}
	fill(one)
	before := heapSize()
	fill(other)
	after := heapSize()
	runtime.KeepAlive(one)
	runtime.KeepAlive(other)
	const name = 16 // the size of a string of 12 bytes
	return (after - before) / float64(rooms), (before-empty)/float64(rooms) - name
}

func BenchmarkTableRoomMemory(b *testing.B) {
	for _, rooms := range []int{100_000, 200_000, 500_000, 1_000_000} {
		b.Run(fmt.Sprint(rooms), func(b *testing.B) {
			var second, first float64
			for b.Loop() {
				second, first = measureMemory(rooms)
			}
			b.ReportMetric(second, "B/room")
			b.ReportMetric(first, "B/room-with-engine")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkDigestUsers measures a digest in which a user enters each room. Its floor is the same
// digest without users.
func BenchmarkDigestUsers(b *testing.B) {
	for name, entered := range map[string][]uint64{"floor": nil, "users": {1 << 40}} {
		b.Run(name, func(b *testing.B) {
			w, rooms, size := digestWriter{name: "chat-1", limit: 32 << 10}, names(), 0
			for b.Loop() {
				for i, room := range rooms {
					w.add(room, roomCounts(i)<<32|roomCounts(i/2), 0, entered, nil)
				}
				size = len(w.finish(span{base: 100_000, seq: 100_100}))
			}
			perRoom(b, size)
		})
	}
}

// BenchmarkTableUsersMemory measures the memory for each user of a peer, in rooms of different
// sizes: users whom only this peer has, and users whom this node already knows from another peer.
func BenchmarkTableUsersMemory(b *testing.B) {
	for _, size := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint("users=", size), func(b *testing.B) {
			const users = 200_000
			var own, known float64
			for b.Loop() {
				e := occupancy.New(occupancy.WithUsers())
				l, err := e.Link(nil, occupancy.WithUserHash(hashName[string]))
				if err != nil {
					b.Fatal(err)
				}
				tables := []*table{newBenchTable(l, "one"), newBenchTable(l, "other")}
				fill := func(t *table, users bool) (bytes float64) {
					before := heapSize()
					for i := range 200_000 / size {
						var all []uint64
						for j := range size * toInt(users) {
							all = append(all, mix(uint64(i*size+j)))
						}
						slices.Sort(all)
						u := userUpdate{added: appendHashes(nil, all)}
						t.set(fmt.Appendf(nil, "room-%07d", i), roomCounts(size)<<32|roomCounts(size), u)
					}
					t.applyBatch()
					return heapSize() - before
				}
				for _, t := range tables {
					fill(t, false)
				}
				own, known = fill(tables[0], true)/users, fill(tables[1], true)/users
				runtime.KeepAlive(tables)
				_ = e.Close()
			}
			b.ReportMetric(own, "B/user")
			b.ReportMetric(known, "B/known-user")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func heapSize() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
