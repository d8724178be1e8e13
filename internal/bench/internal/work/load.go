package work

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// load is what others do meanwhile: as many goroutines as there are processors, each
// of which joins and leaves burst rooms and then pauses.
type load struct {
	name  string
	burst int
	pause time.Duration
}

var (
	idle = load{name: "idle"}
	// steady is the same work for all peers, a part of what any of them can do.
	steady = load{name: "steady load", burst: 50, pause: time.Millisecond}
	// full is as much as each peer can do, which is not the same for all.
	full = load{name: "full load", burst: 1_000}
)

// begin loads the peer until stop is called, which is then the nanoseconds for a Join
// and Leave, as perOp has it.
func (l load) begin(p peer.Peer, rooms []string) (stop func() float64) {
	var (
		over  atomic.Bool
		total atomic.Int64
		wg    sync.WaitGroup
	)
	start := time.Now()
	if l.burst > 0 {
		for g := range procs() {
			wg.Go(func() {
				c := peer.NewConn(1<<30 + g)
				order := shuffled(rooms)
				for i := 0; !over.Load(); {
					for range l.burst {
						room := order[i%len(order)]
						p.Join(room, c)
						p.Leave(room, c)
						i++
					}
					total.Add(int64(l.burst))
					if l.pause > 0 {
						time.Sleep(l.pause)
					}
				}
			})
		}
	}
	return func() float64 {
		over.Store(true)
		wg.Wait()
		return float64(time.Since(start).Nanoseconds()) / float64(max(1, total.Load()))
	}
}
