package core

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/occupancy/occupancy"
)

// cpuTime returns the time that the current thread has used a CPU.
func cpuTime() time.Duration {
	const threadCPU = 3 // CLOCK_THREAD_CPUTIME_ID
	var t syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadCPU, uintptr(unsafe.Pointer(&t)), 0); err != 0 {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// holds measures the CPU time between two calls of Yield: the time for which the driver
// holds its lock.
type holds struct {
	since   time.Duration
	longest map[string]time.Duration
	current string
}

func (h *holds) yield() {
	now := cpuTime()
	h.longest[h.current] = max(h.longest[h.current], now-h.since)
	h.since = cpuTime()
}

func (h *holds) do(what string, f func()) {
	h.current, h.since = what, cpuTime()
	f()
	h.yield()
}

// The longest time for which the lock of a node is held while a peer with a million rooms
// joins, sends a snapshot that lacks all of them, is lost and returns, and while a node with
// a million rooms answers a sync request.
func BenchmarkLongestHold(b *testing.B) {
	const rooms = 1_000_000
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := holds{longest: map[string]time.Duration{}}
	for b.Loop() {
		e := occupancy.New()
		l := link(e)
		cfg := testConfig()
		cfg.MaxRooms, cfg.Forget, cfg.FlushSize, cfg.ReplySize, cfg.TombstoneSlack, cfg.Yield = 2*rooms, time.Hour, 32<<10, 256<<10, 1024, h.yield
		cfg.NewTable = func(name string) Table { return l.Remote(name) }
		m := New(*cfg)
		m.Start(0)
		m.SetConnected(true, 0)
		now := time.Duration(0)
		w := digestWriter{id: Incarnation{8}, name: "peer", limit: 256 << 10}
		snapshot := func(what string, seq uint64, counts roomCounts) {
			s := span{reset: true, seq: 1, snapshotEnd: seq}
			send := func() {
				payload := w.finish(s)
				h.do(what, func() { m.Receive(SyncReply, payload, now) })
				s = span{base: s.seq, seq: s.seq + 1}
			}
			for i := range rooms * toInt(counts != 0) {
				if name := fmt.Sprintf("room-%07d", i); !w.add(name, counts, 0, nil, nil) {
					send()
					w.add(name, counts, 0, nil, nil)
				}
			}
			s.seq = seq
			send()
		}
		beats := uint64(0)
		sendBeat := func(what string, hash uint64) {
			beats++
			beat := heartbeat{from: w.id, name: []byte("peer"), seq: m.members.byID[w.id].stream.applied, hash: hash, beat: beats}
			h.do(what, func() { m.Receive(Heartbeat, beat.encode(), now) })
		}
		snapshot("join", 1000, 1)
		p := m.members.byID[w.id]
		sendBeat("heartbeat", 1)
		snapshot("unchanged", 2000, 1)
		for now = beat; p.state != Missing; now += beat {
			h.do("lost", func() { m.Tick(now, 256<<10) })
			_, closed := m.Take()
			for _, t := range closed {
				_ = t.Close()
			}
		}
		sendBeat("return", p.table.hash)
		sendBeat("heartbeat", 1)
		snapshot("empty", 3000, 0)
		if p.table.rooms != 0 {
			b.Fatal("rooms remain")
		}
		for step, connections := range []int{1, 2, 0} {
			var events []Change
			for i := range rooms {
				events = append(events, Change{RoomEvent: occupancy.RoomEvent{Room: fmt.Sprintf("room-%07d", i), Event: occupancy.Event{Occupancy: occupancy.Occupancy{Connections: connections}}}})
				if len(events) == 4096 || i == rooms-1 {
					h.do("publish", func() { m.Change(events, 0) })
					events = events[:0]
				}
			}
			m.Take()
			if step < 2 {
				c := m.begin(0)
				for done := false; !done; {
					h.do("reply", func() { _, done = m.next(&c, &digestWriter{limit: 256 << 10}) })
				}
			}
		}
		_ = e.Close()
	}
	b.ReportMetric(0, "ns/op")
	for what, longest := range h.longest {
		b.ReportMetric(longest.Seconds()*1000, what+"-ms")
	}
}
