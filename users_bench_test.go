package occupancy

import (
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkUsers has the same calls on an engine without users as its floor. The client
// connects to a room that has a number of members already.
func BenchmarkUsers(b *testing.B) {
	for _, n := range []int{3, 100_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			for name, opts := range map[string][]Option{"floor": nil, "users": {WithUsers()}, "linked": {WithUsers()}} {
				b.Run(name, func(b *testing.B) {
					e := New(opts...)
					defer e.Close()
					if name == "linked" {
						l, err := e.Link(nil, WithUserHash(testHash))
						must(b, err)
						l.Release() // nobody reads the changes
					}
					for i := range n {
						must(b, e.Enter("room", strconv.Itoa(i)))
					}
					settle(e)
					var turn atomic.Int64
					b.ReportAllocs()
					b.ResetTimer()
					b.RunParallel(func(pb *testing.PB) {
						id := fmt.Sprint("client", turn.Add(1))
						for pb.Next() {
							c, err := e.Connect("room", As(id))
							if err != nil || c.Close() != nil {
								panic("refused")
							}
						}
					})
				})
			}
		})
	}
}

// BenchmarkUsersMemory measures the memory of each user of a room, without the bytes of its ID.
func BenchmarkUsersMemory(b *testing.B) {
	for _, n := range []int{60_000, 100_000, 1_000_000} {
		benchmarkUsersMemory(b, n, false)
		benchmarkUsersMemory(b, n, true)
	}
}

func benchmarkUsersMemory(b *testing.B, n int, linked bool) {
	b.Run(fmt.Sprintf("users=%d/linked=%v", n, linked), func(b *testing.B) {
		var perUser float64
		for b.Loop() {
			e := New(WithUsers())
			if linked {
				l, err := e.Link(nil, WithUserHash(testHash))
				must(b, err)
				l.Release() // nobody reads the changes
			}
			before, idBytes := heapSize(), 0
			for i := range n {
				id := fmt.Sprintf("client-%09d", i)
				idBytes += len(id)
				must(b, e.Enter("room", id))
			}
			perUser = float64(heapSize()-before-idBytes) / float64(n)
			must(b, e.Close())
		}
		b.ReportMetric(perUser, "B/user")
	})
}

// BenchmarkTakeOver has a Connect and Close as its floor. The client breaks off and returns.
func BenchmarkTakeOver(b *testing.B) {
	e := New(WithUsers())
	defer e.Close()
	must(b, e.Join("room"))
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			c, err := e.Connect("room", As("ann"))
			if err != nil || c.Close() != nil {
				panic("refused")
			}
		}
	})
	b.Run("linger", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := e.Connect("room", As("ann"))
			if err != nil {
				panic("refused")
			}
			c.Linger(time.Minute)
		}
	})
}

// BenchmarkLingering measures the memory that each lease takes while it lingers, in addition
// to the lease, and which part of a processor the engine uses while nothing happens.
func BenchmarkLingering(b *testing.B) {
	const n = 1_000_000
	var perLease, load float64
	for b.Loop() {
		e := New()
		leases := make([]*Lease, n)
		for i := range leases {
			var err error
			leases[i], err = e.Connect(fmt.Sprint("room", i%1000), As(strconv.Itoa(i)))
			must(b, err)
		}
		settle(e)
		before := heapSize()
		for i, l := range leases {
			l.Linger(time.Hour + time.Duration(i%60_000)*time.Millisecond)
		}
		perLease = float64(heapSize()-before) / n
		busy, rounds, began := e.Stats().Publishing, e.Stats().Rounds, time.Now()
		time.Sleep(time.Second)
		load = float64(e.Stats().Publishing-busy) / float64(time.Since(began))
		if e.Stats().Rounds-rounds > 2 { // Stats causes one
			b.Fatal("the engine works while nothing happens")
		}
		must(b, e.Close())
		runtime.KeepAlive(leases)
	}
	b.ReportMetric(perLease, "B/lease")
	b.ReportMetric(100*load, "%core")
}
