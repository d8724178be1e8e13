package occupancy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/puzpuzpuz/xsync/v3"
)

// Each benchmark has a sub-benchmark "floor", the minimum work that any implementation
// needs. `make bench` runs both in turns and prints the ratios.

var sizes = []int{1, 1_000, 100_000, 1_000_000}

func roomNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("room-%07d", i)
	}
	return names
}

// bareMap is the floor of every look-up: a map with bare counters. Its keys are clones,
// as in the engine: a server looks up a room by a string that it has just read, not by
// the string that is in the map.
func bareMap(names []string) *xsync.MapOf[string, *atomic.Uint64] {
	m := xsync.NewMapOf[string, *atomic.Uint64]()
	for _, name := range names {
		m.Store(strings.Clone(name), new(atomic.Uint64))
	}
	return m
}

// occupiedEngine returns an engine in which each room has one connection and is idle.
func occupiedEngine(b *testing.B, names []string) *Engine {
	e := New()
	b.Cleanup(func() { _ = e.Close() })
	for _, name := range names {
		must(b, e.Join(name))
	}
	settle(e)
	return e
}

// settle waits until the publisher has marked every room as idle.
func settle(e *Engine) {
	for !settled(e) {
		runtime.Gosched()
	}
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// everyRoom calls f with all names, in a different order in each goroutine.
func everyRoom(b *testing.B, names []string, f func(name string)) {
	orders := make([][]string, runtime.GOMAXPROCS(0))
	for i := range orders {
		orders[i] = make([]string, len(names))
		for j, k := range rand.Perm(len(names)) {
			orders[i][j] = names[k]
		}
	}
	var turn atomic.Int32
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		order := orders[turn.Add(1)-1]
		for i := 0; pb.Next(); i++ {
			if i == len(order) {
				i = 0
			}
			f(order[i])
		}
	})
}

func BenchmarkJoinLeave(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			names := roomNames(n)
			b.Run("floor", func(b *testing.B) {
				m := bareMap(names)
				everyRoom(b, names, func(name string) {
					c, _ := m.Load(name)
					c.Add(1)
					c, _ = m.Load(name)
					c.Add(^uint64(0))
				})
			})
			ours := func(b *testing.B, e *Engine) {
				everyRoom(b, names, func(name string) {
					if e.Join(name) != nil || e.Leave(name) != nil {
						panic("refused")
					}
				})
			}
			b.Run("hooks", func(b *testing.B) { ours(b, occupiedEngine(b, names)) })
			b.Run("subscribed", func(b *testing.B) {
				e := occupiedEngine(b, names)
				for _, name := range names {
					_, err := e.Subscribe(name)
					must(b, err)
				}
				ours(b, e)
			})
			b.Run("watched", func(b *testing.B) {
				e := occupiedEngine(b, names)
				w, err := e.Watch()
				must(b, err)
				for !w.CaughtUp() { // the first batches contain every room
					_, err := w.Next(context.Background())
					must(b, err)
				}
				settle(e)
				go func() {
					for {
						if _, err := w.Next(context.Background()); err != nil {
							return
						}
					}
				}()
				ours(b, e)
			})
			b.Run("hub", func(b *testing.B) {
				h := hub{rooms: map[string]*hubRoom{}}
				for _, name := range names {
					h.change(name, 1)
				}
				everyRoom(b, names, func(name string) {
					h.change(name, 1)
					h.change(name, -1)
				})
			})
		})
	}
}

// hub is what chat servers use instead: a mutex and a map of rooms.
type hub struct {
	mu    sync.Mutex
	rooms map[string]*hubRoom
}

type hubRoom struct{ connections int }

func (h *hub) change(name string, by int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[name]
	if r == nil {
		r = new(hubRoom)
		h.rooms[name] = r
	}
	if r.connections += by; r.connections == 0 {
		delete(h.rooms, name)
	}
}

// BenchmarkHandle has one room for each goroutine, apart from the others in memory.
// BenchmarkHot has one room for all goroutines.
func BenchmarkHandle(b *testing.B) { benchHandle(b, 64) }
func BenchmarkHot(b *testing.B)    { benchHandle(b, 1) }

func benchHandle(b *testing.B, rooms int) {
	names := roomNames(rooms)
	b.Run("floor", func(b *testing.B) {
		words := make([]struct {
			atomic.Uint64
			_ [56]byte
		}, rooms)
		var turn atomic.Uint32
		b.RunParallel(func(pb *testing.PB) {
			w := &words[int(turn.Add(31))%rooms]
			for pb.Next() {
				w.Add(1)
				w.Add(^uint64(0))
			}
		})
	})
	b.Run("handle", func(b *testing.B) {
		e := occupiedEngine(b, names)
		var turn atomic.Uint32
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			r := e.Room(names[int(turn.Add(31))%rooms])
			for pb.Next() {
				if r.Join() != nil || r.Leave() != nil {
					panic("refused")
				}
			}
		})
	})
}

// BenchmarkChurn begins and ends rooms all the time.
func BenchmarkChurn(b *testing.B) {
	names := roomNames(1_000)
	e := New()
	defer e.Close()
	everyRoom(b, names, func(name string) {
		if e.Join(name) != nil || e.Leave(name) != nil {
			panic("refused")
		}
	})
}

func BenchmarkCurrent(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			names := roomNames(n)
			b.Run("floor", func(b *testing.B) {
				m := bareMap(names)
				everyRoom(b, names, func(name string) {
					if c, ok := m.Load(name); !ok || c.Load() != 0 {
						panic("lost")
					}
				})
			})
			b.Run("current", func(b *testing.B) {
				e := occupiedEngine(b, names)
				everyRoom(b, names, func(name string) {
					if e.Current(name).Connections != 1 {
						panic("lost")
					}
				})
			})
		})
	}
}

// BenchmarkConnect has the hooks as its floor, and a Connect with an Enter.
func BenchmarkConnect(b *testing.B) {
	names := roomNames(1_000)
	e := occupiedEngine(b, names)
	b.Run("floor", func(b *testing.B) {
		everyRoom(b, names, func(name string) {
			if e.Join(name) != nil || e.Leave(name) != nil {
				panic("refused")
			}
		})
	})
	b.Run("connect", func(b *testing.B) {
		everyRoom(b, names, func(name string) {
			c, err := e.Connect(name)
			if err != nil || c.Close() != nil {
				panic("refused")
			}
		})
	})
	b.Run("enter", func(b *testing.B) {
		everyRoom(b, names, func(name string) {
			c, err := e.Connect(name)
			if err != nil || c.Enter("alice") != nil || c.Close() != nil {
				panic("refused")
			}
		})
	})
}

// BenchmarkMemory measures the memory of a room with one connection and no subscriber,
// without the bytes of its name.
func BenchmarkMemory(b *testing.B) {
	for _, n := range sizes[1:] {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			var perRoom float64
			for b.Loop() {
				before := heapSize()
				e := New()
				// The engine clones each name. The test's own copy is garbage.
				nameBytes := 0
				for i := range n {
					name := fmt.Sprintf("room-%011d", i)
					nameBytes += len(name)
					must(b, e.Join(name))
				}
				settle(e)
				perRoom = float64(heapSize()-before-nameBytes) / float64(n)
				must(b, e.Close())
				runtime.KeepAlive(e)
			}
			b.ReportMetric(perRoom, "B/room")
		})
	}
}

func heapSize() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// BenchmarkWatch measures the time until a watcher has read a million changed rooms. Its
// floor reads as many counters in a map.
func BenchmarkWatch(b *testing.B) {
	names := roomNames(1_000_000)
	b.Run("floor", func(b *testing.B) {
		m := bareMap(names)
		for b.Loop() {
			total := uint64(0)
			m.Range(func(_ string, c *atomic.Uint64) bool {
				total += c.Load()
				return true
			})
			runtime.KeepAlive(total)
		}
	})
	b.Run("watch", func(b *testing.B) {
		e := occupiedEngine(b, names)
		w, err := e.Watch()
		must(b, err)
		read := func() {
			for n := 0; n < len(names); {
				events, err := w.Next(context.Background())
				must(b, err)
				n += len(events)
			}
		}
		read()
		hook := e.Join
		for b.Loop() {
			b.StopTimer()
			settle(e)
			e.pub.mu.Lock() // nothing is published before the timer runs
			for _, name := range names {
				must(b, hook(name))
			}
			b.StartTimer()
			e.pub.mu.Unlock()
			read()
		}
	})
}

// BenchmarkWatchers changes a room until each of a thousand watchers that wait for its prefix has
// returned from Next. Its floor wakes as many goroutines with bare channel sends.
func BenchmarkWatchers(b *testing.B) {
	const n = 1_000
	var woken atomic.Int64
	all := make(chan struct{})
	count := func() {
		if woken.Add(1)%n == 0 {
			all <- struct{}{}
		}
	}
	b.Run("floor", func(b *testing.B) {
		chans := make([]chan struct{}, n)
		for i := range chans {
			chans[i] = make(chan struct{}, 1)
			defer close(chans[i])
			go func() {
				for range chans[i] {
					count()
				}
			}()
		}
		for b.Loop() {
			for _, c := range chans {
				c <- struct{}{}
			}
			<-all
		}
	})
	b.Run("watchers", func(b *testing.B) {
		e := New(WithInterval(0))
		defer e.Close()
		for range n {
			w, err := e.Watch(WithPrefix("room"))
			must(b, err)
			go func() {
				for {
					if _, err := w.Next(context.Background()); err != nil {
						return
					}
					count()
				}
			}()
		}
		for b.Loop() {
			must(b, e.Join("room-1"))
			<-all
		}
	})
}

// BenchmarkFanOut delivers one event to every subscriber of a room.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			b.Run("floor", func(b *testing.B) {
				chans := make([]chan Event, n)
				for i := range chans {
					chans[i] = make(chan Event, 1)
				}
				event := Event{Type: EventUpdated}
				for b.Loop() {
					for _, c := range chans {
						select {
						case c <- event:
						default:
						}
					}
					b.StopTimer()
					for _, c := range chans {
						<-c
					}
					b.StartTimer()
				}
			})
			b.Run("fanout", func(b *testing.B) {
				e := New(WithInterval(0))
				defer e.Close()
				subs := make([]*Subscription, n)
				for i := range subs {
					s, err := e.Subscribe("room")
					must(b, err)
					<-s.Events()
					subs[i] = s
				}
				hook, undo := e.Join, e.Leave
				for b.Loop() {
					delivered := e.pub.delivered.Load()
					must(b, hook("room"))
					for e.pub.delivered.Load() < delivered+uint64(n) {
						runtime.Gosched()
					}
					b.StopTimer()
					for _, s := range subs {
						<-s.Events()
					}
					hook, undo = undo, hook
					b.StartTimer()
				}
			})
		})
	}
}

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
