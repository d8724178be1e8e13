package work

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// heapOfRooms is what a room with one connection weighs, its name included, the
// connection not: that is the server's anyway.
func heapOfRooms(rooms int, settle time.Duration) Work {
	name := fmt.Sprintf("memory of a room/rooms=%d", rooms)
	return weigh(Case{Name: name, Unit: "bytes"}, rooms, rooms, settle)
}

// heapOfMembers is what a connection more weighs, in rooms of a thousand.
func heapOfMembers(members int, settle time.Duration) Work {
	name := fmt.Sprintf("memory of a member/members=%d", members)
	return weigh(Case{Name: name, Unit: "bytes", Alone: true}, max(1, members/1_000), members, settle)
}

func weigh(c Case, rooms, members int, settle time.Duration) Work {
	w := Work{Name: c.Name, Takes: counts, Cases: []Case{c}, Most: 2}
	w.Prepare = func(m peer.Maker) Task {
		pass := func(time.Duration) []float64 {
			names := roomNames(rooms)
			conns := make([]*peer.Conn, members)
			for i := range conns {
				conns[i] = peer.NewConn(i)
			}
			before := heap()
			p := m.New()
			for i, c := range conns {
				p.Join(strings.Clone(names[i%rooms]), c)
			}
			p.Count(names[0])
			time.Sleep(settle)
			weight := heap() - before
			p.Close()
			runtime.KeepAlive(names)
			runtime.KeepAlive(conns)
			return []float64{weight / float64(members)}
		}
		return Task{Pass: pass, Close: func() {}}
	}
	return w
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
