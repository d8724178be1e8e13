package occupancy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Size returns the number of cells.
func (t *table) Size() (n int) {
	for i, s := range *t.directory.Load() {
		if i>>s.depth == 0 {
			n += s.cells.Size()
		}
	}
	return n
}

// Store sets the cell of a name.
func (t *table) Store(name string, c *cell) {
	t.Compute(name, func(*cell, bool) (*cell, bool) { return c, false })
}

func (t *table) remove(name string) {
	t.Compute(name, func(old *cell, _ bool) (*cell, bool) { return old, true })
}

// smallShard is a maximum with which few rooms make many shards.
const smallShard = 64

// wantShards checks the directory and the place of every cell. No other goroutine may
// change the table meanwhile.
func wantShards(t *testing.T, tab *table) {
	t.Helper()
	directory := *tab.directory.Load()
	require.Equal(t, len(directory) == 1, tab.single.Load() != nil)
	half := len(directory) / 2
	require.False(t, half > 0 && slices.Equal(directory[:half], directory[half:]), "twice as long as necessary")
	for i, s := range directory {
		require.True(t, s == directory[i&(1<<s.depth-1)], "entry %d", i)
		s.cells.Range(func(name string, c *cell) bool {
			require.True(t, name == c.name && s == tab.shard(tab.hash(name)), "%s in entry %d", c.name, i)
			return true
		})
	}
}

func TestTable_GrowsAndShrinksByShards(t *testing.T) {
	var tab table
	tab.init(smallShard)
	names := func(yield func(string) bool) {
		for i := range 5000 {
			if !yield(fmt.Sprintf("a common prefix/%d/a common suffix", i)) {
				return
			}
		}
	}
	for range 2 {
		wantShards(t, &tab)
		for name := range names {
			tab.Store(name, &cell{name: name})
		}
		wantShards(t, &tab)
		require.Equal(t, 5000, tab.Size())
		for _, s := range *tab.directory.Load() {
			require.LessOrEqual(t, s.cells.Size(), smallShard)
		}
		n := len(*tab.directory.Load())
		require.GreaterOrEqual(t, n, 5000/smallShard)
		require.LessOrEqual(t, n, 16*5000/smallShard, "the names do not spread")
		for name := range names {
			tab.remove(name)
			_, ok := tab.Load(name)
			require.False(t, ok)
		}
		require.Zero(t, tab.Size())
		require.Len(t, *tab.directory.Load(), 1)
	}
}

// Every goroutine creates, deletes and looks up its own cells, in waves in which the table
// grows to many shards and shrinks to one. Each look-up must find the goroutine's last
// change. Each Range must visit every cell that remains once.
func TestTable_EveryLookUpFindsTheLastChange(t *testing.T) {
	const goroutines, waves, perWave, remaining = 4, 3, 1000, 100
	var tab table
	tab.init(smallShard)
	for i := range remaining {
		name := fmt.Sprint("remains ", i)
		tab.Store(name, &cell{name: name})
	}
	var changers, readers sync.WaitGroup
	var changed atomic.Bool
	for g := range goroutines {
		changers.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			model := map[string]*cell{}
			check := func(name string) {
				if c, _ := tab.Load(name); c != model[name] {
					t.Errorf("%s: found %p, want %p", name, c, model[name])
				}
			}
			for wave := range 2 * waves {
				growing := wave%2 == 0
				for range 2 * perWave {
					name := fmt.Sprint(g, "/", r.IntN(perWave))
					check(name)
					if growing == (r.IntN(8) > 0) {
						c := &cell{name: name}
						tab.Store(name, c)
						model[name] = c
					} else {
						tab.remove(name)
						delete(model, name)
					}
					check(name)
				}
				if !growing {
					for name := range model {
						tab.remove(name)
						delete(model, name)
						check(name)
					}
				}
			}
		})
	}
	directories := map[*[]shard]bool{}
	readers.Go(func() {
		for !changed.Load() {
			directories[tab.directory.Load()] = true
			visited := map[string]int{}
			tab.Range(func(c *cell) bool { visited[c.name]++; return true })
			for i := range remaining {
				if name := fmt.Sprint("remains ", i); visited[name] == 0 {
					t.Errorf("%s was not visited", name)
				}
			}
			for name, n := range visited {
				if n > 1 {
					t.Errorf("%s was visited %d times", name, n)
				}
			}
		}
	})
	changers.Wait()
	changed.Store(true)
	readers.Wait()
	wantShards(t, &tab)
	require.Equal(t, remaining, tab.Size())
	require.Greater(t, len(directories), 1, "no Range ran while the table changed")
}

// smallShards returns an engine that splits its table early.
func smallShards(opts ...Option) *Engine {
	e := New(opts...)
	e.rooms.cells.max = smallShard
	return e
}

// Goroutines use their own rooms by name, while the table grows and shrinks.
func TestTable_HooksCountExactlyDuringSplits(t *testing.T) {
	for _, limit := range []int{0, 100_000} {
		const goroutines, rooms, remaining = 4, 400, 50
		e := smallShards(WithInterval(time.Millisecond), WithMaxRooms(limit))
		for i := range remaining {
			require.NoError(t, e.Join(fmt.Sprint("remains ", i)))
		}
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(g)))
				model := map[string]Occupancy{}
				for step := range 12 * rooms {
					name := fmt.Sprint(g, "/", r.IntN(rooms))
					want := model[name]
					if growing := step/(3*rooms)%2 == 0; growing == (r.IntN(4) > 0) {
						assert.NoError(t, e.Join(name))
						want.Connections++
					} else if want.Connections > 0 {
						assert.NoError(t, e.Leave(name))
						want.Connections--
					} else {
						assert.ErrorIs(t, e.Leave(name), ErrNotJoined)
					}
					assert.Equal(t, want, e.Current(name), name)
					model[name] = want
					if step%rooms == 0 {
						visited := map[string]int{}
						for room := range e.All() {
							visited[room]++
						}
						for i := range remaining {
							assert.Equal(t, 1, visited[fmt.Sprint("remains ", i)])
						}
					}
				}
				for name, o := range model {
					for range o.Connections {
						assert.NoError(t, e.Leave(name))
					}
				}
			})
		}
		wg.Wait()
		for i := range remaining {
			require.NoError(t, e.Leave(fmt.Sprint("remains ", i)))
		}
		wantSettled(t, e)
		wantNothingKept(t, e)
		require.NoError(t, e.Close())
	}
}

// Close comes while the table is split. Every accepted Join must be counted afterwards, and
// no cell may accept another one.
func TestTable_CloseSeesEveryCell(t *testing.T) {
	const goroutines, rounds = 3, 40
	for round := range rounds {
		e := smallShards(WithInterval(0))
		var wg sync.WaitGroup
		var joined atomic.Int64
		accepted := make([]int, goroutines)
		name := func(g, i int) string { return fmt.Sprint(g, "/", i) }
		for g := range goroutines {
			wg.Go(func() {
				for e.Join(name(g, accepted[g])) == nil {
					accepted[g]++
					joined.Add(1)
				}
			})
		}
		for joined.Load() < int64(20*round) {
			time.Sleep(time.Microsecond)
		}
		require.NoError(t, e.Close())
		wg.Wait()
		for g, n := range accepted {
			for i := range n {
				if o := e.Current(name(g, i)); o.Connections != 1 {
					t.Fatalf("%v in the room of an accepted Join", o)
				}
			}
			require.Zero(t, e.Current(name(g, n)), "the refused Join")
		}
		e.rooms.cells.Range(func(c *cell) bool {
			if c.word.Load() != retired {
				t.Fatalf("%s is not frozen", c.name)
			}
			return true
		})
		wantShards(t, &e.rooms.cells)
	}
}
