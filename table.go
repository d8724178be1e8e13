package occupancy

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v3"
)

// table is a concurrent map of names to cells. An xsync map resizes in one step, in which
// every change of the map waits; with a million cells, that takes hundreds of milliseconds.
// So a large table consists of shards, which are small xsync maps, and grows by splitting
// one shard at a time (extendible hashing).
//
// The low bits of a name's hash select an entry of the directory. A shard that depends on
// fewer bits than the directory has several entries:
//
//	00 → shard A (depth 1)
//	01 → shard B (depth 2)
//	10 → shard A
//	11 → shard C (depth 2)
//
// A split or merge copies the cells to new shards, and then replaces the directory. The old
// shards never change again. So Load and Range need no lock: the shards of an old directory
// have the cells that the table had when the directory was replaced.
type table struct {
	single    atomic.Pointer[cellMap] // the cells if there is only one shard, else nil; Load need not hash then
	directory atomic.Pointer[[]shard] // its length is a power of two
	seed      maphash.Seed
	max       int        // a shard with more cells is split
	mu        sync.Mutex // locked while shards are split or merged
}

// maxShard limits the time of a split to a few milliseconds: the copy of a cell takes up to
// a microsecond. With smaller shards, look-ups in a large table are slower, because fewer
// of the shards' headers remain in the processor's cache.
const maxShard = 4096

type cellMap = xsync.MapOf[string, *cell]

type shard struct {
	cells *cellMap
	mu    *sync.RWMutex // read-locked by changes of cells, locked by a split or merge
	depth int           // the number of hash bits that all its names have in common
}

func (t *table) init(maxShard int) {
	t.seed, t.max = maphash.MakeSeed(), maxShard
	t.publish([]shard{newShard(0, 0)})
}

func newShard(depth, size int) shard {
	return shard{xsync.NewMapOf[string, *cell](xsync.WithPresize(size)), new(sync.RWMutex), depth}
}

func (t *table) hash(name string) uint64 { return maphash.String(t.seed, name) }

// Load returns the cell of a name.
func (t *table) Load(name string) (*cell, bool) { return t.mapOf(name).Load(name) }

// mapOf returns the map that has the name, if the table has it. The hooks call it, and then
// the map's Load: mapOf is inlined, the table's Load is not, and costs a nanosecond and a half.
func (t *table) mapOf(name string) *cellMap {
	if m := t.single.Load(); m != nil {
		return m
	}
	return t.shardOf(name)
}

func (t *table) shardOf(name string) *cellMap { return t.shard(t.hash(name)).cells }

func (t *table) shard(hash uint64) shard {
	directory := *t.directory.Load()
	return directory[hash&uint64(len(directory)-1)]
}

// Compute sets or deletes the cell of a name, like the method of xsync.MapOf.
func (t *table) Compute(name string, f func(old *cell, loaded bool) (c *cell, del bool)) {
	hash := t.hash(name)
	for {
		s := t.shard(hash)
		s.mu.RLock()
		current := t.shard(hash) == s // the directory keeps s until mu is unlocked
		if current {
			s.cells.Compute(name, f)
		}
		s.mu.RUnlock()
		if current {
			for t.balance(hash) {
			}
			return
		}
	}
}

// Range calls f for every cell until f returns false. It may miss cells that are added or
// deleted meanwhile. It visits at most one cell of each name.
func (t *table) Range(f func(*cell) bool) {
	more := true
	for i, s := range *t.directory.Load() {
		if more && i>>s.depth == 0 { // the first entry of the shard
			s.cells.Range(func(_ string, c *cell) bool {
				more = f(c)
				return more
			})
		}
	}
}

// balance splits the shard of hash if it has too many cells, or merges it with the other half
// of a former shard if both have few. It reports whether it did. If another caller splits or
// merges shards, balance does nothing: the next change of the shard tries again.
func (t *table) balance(hash uint64) bool {
	s := t.shard(hash)
	size, few := s.cells.Size(), t.max/64
	if size <= t.max && (size > few || s.depth == 0) || !t.mu.TryLock() {
		return false
	}
	defer t.mu.Unlock()
	if t.shard(hash) != s {
		return false
	}
	if size > t.max {
		t.replace(hash, s.depth+1, s)
		return true
	}
	other := t.shard(hash ^ 1<<(s.depth-1))
	if other.depth != s.depth || other.cells.Size() > few {
		return false
	}
	t.replace(hash, s.depth-1, s, other)
	return true
}

// replace replaces old, which are all shards of the names whose hashes end in the same bits
// as hash, by one or two shards of another depth. The caller holds mu.
func (t *table) replace(hash uint64, depth int, old ...shard) {
	size := 0
	for _, s := range old {
		s.mu.Lock()
		defer s.mu.Unlock()
		size += s.cells.Size()
	}
	common := min(depth, old[0].depth)
	shards := make([]shard, 1<<(depth-common))
	for i := range shards {
		shards[i] = newShard(depth, size/len(shards))
	}
	target := func(hash uint64) shard { return shards[hash>>common&uint64(len(shards)-1)] }
	for _, s := range old {
		s.cells.Range(func(name string, c *cell) bool {
			target(t.hash(name)).cells.Store(name, c)
			return true
		})
	}

	directory := slices.Clone(*t.directory.Load())
	if len(directory) < 1<<depth {
		directory = slices.Repeat(directory, 2)
	}
	for i := hash & (1<<common - 1); i < uint64(len(directory)); i += 1 << common {
		directory[i] = target(i)
	}
	for half := len(directory) / 2; half > 0 && slices.Equal(directory[:half], directory[half:]); half /= 2 {
		directory = directory[:half]
	}
	t.publish(directory)
}

// publish replaces the directory.
func (t *table) publish(directory []shard) {
	t.single.Store(nil) // first, so that no Load finds an old shard after the next line
	t.directory.Store(&directory)
	if len(directory) == 1 {
		t.single.Store(directory[0].cells)
	}
}
