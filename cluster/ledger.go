package cluster

import (
	"maps"
	"slices"
	"sort"
)

// ledger is this node's own part as it was published: what each room was, and in which
// flush that was said last. So it answers "all since S" with each room once, however
// often it changed.
//
// An emptied room must be told to those who missed it, so it stays, as a tombstone. Of
// those there are never many more than rooms: the oldest go, and who asks since before
// them gets a snapshot.
type ledger struct {
	rooms map[string]*own
	log   []entry // by seq; an entry counts as long as it is its room's last
	seq   uint64  // of the last flush
	floor uint64  // the newest change that is forgotten
	gone  int     // tombstones
	most  int     // as many rooms as the map had since it was made
	hash  uint64
	spare int // how many tombstones, and dead entries, are always all right
}

type own struct {
	room string
	now  packed
	seq  uint64
}

type entry struct {
	*own
	at uint64
}

func (e entry) counts() bool { return e.at == e.seq }

func newLedger(spare int) *ledger { return &ledger{rooms: map[string]*own{}, spare: spare} }

// differs reports whether the room was published as something else.
func (l *ledger) differs(room string, p packed) bool {
	o := l.rooms[room]
	return o == nil && p != 0 || o != nil && o.now != p
}

// put notes what the room is in the flush that follows the last one.
func (l *ledger) put(room string, p packed) {
	o := l.rooms[room]
	if o == nil {
		o = &own{room: room}
		l.rooms[room] = o
		l.gone++ // as it was
	}
	l.hash += hashChange(room, o.now, p)
	l.gone += count(p == 0) - count(o.now == 0)
	o.now, o.seq = p, l.seq+1
	l.log = append(l.log, entry{o, o.seq})
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// flushed ends the flush.
func (l *ledger) flushed() {
	l.seq++
	l.most = max(l.most, len(l.rooms))
	live := len(l.rooms) - l.gone
	if l.gone > live+l.spare || len(l.log) > 2*len(l.rooms)+l.spare {
		l.tidy(live)
	}
}

// tidy removes the entries that no longer count and, where there are too many
// tombstones, half of them.
func (l *ledger) tidy(live int) {
	forget := 0
	if l.gone > live+l.spare {
		forget = l.gone - (live+l.spare)/2
	}
	l.log = slices.DeleteFunc(l.log, func(e entry) bool {
		if !e.counts() {
			return true
		}
		if e.now != 0 || forget == 0 {
			return false
		}
		forget--
		l.gone--
		l.floor = e.seq
		delete(l.rooms, e.room)
		return true
	})
	if l.most > 8*max(len(l.rooms), l.spare) {
		// A map and a slice keep the memory of what was deleted; others do not.
		rooms := make(map[string]*own, len(l.rooms))
		maps.Copy(rooms, l.rooms)
		l.rooms, l.most = rooms, len(rooms)
		l.log = slices.Clone(l.log)
	}
}

// live is how many rooms are not empty.
func (l *ledger) live() int { return len(l.rooms) - l.gone }

// since writes all that changed after seq s, in as many digests as it takes, each
// valid until emit returns. Where that is no longer known, and for 0, it is a
// snapshot. It stops when emit reports false.
func (l *ledger) since(s uint64, w *digestWriter, emit func(payload []byte) bool) {
	sp, snapshot := span{base: s}, s == 0 || s < l.floor || s > l.seq
	if snapshot {
		sp = span{reset: true, snapshot: l.seq}
	}
	first := sort.Search(len(l.log), func(i int) bool { return l.log[i].at > sp.base })
	// The rooms of one flush must stay together, since what is between two flushes has no
	// seq. They go in: they were one digest, and that had no more room than this.
	flush, from, before := first, w.mark(), sp.base
	for i := first; i < len(l.log); {
		e := l.log[i]
		if e.at != l.log[flush].at {
			flush, from, before = i, w.mark(), l.log[i-1].at
		}
		if e.counts() && (e.now != 0 || !snapshot) && !w.add(e.room, e.now) {
			w.back(from)
			sp.seq = before
			if !emit(w.finish(sp)) {
				return
			}
			sp = span{base: before}
			i, from = flush, mark{}
			continue
		}
		i++
	}
	sp.seq = l.seq
	emit(w.finish(sp))
}
