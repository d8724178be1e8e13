package occupancy

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// length returns the number of queued items.
func length[T any](q *fifo[T]) int {
	n := -q.head
	for _, block := range q.blocks {
		n += len(block)
	}
	return n
}

func TestFifo_ReusesBlocksWhileItsLengthIsStable(t *testing.T) {
	var q fifo[*int]
	v := new(int)
	for range 2 * blockLen {
		q.push(v)
	}
	const blocks = 10
	allocs := testing.AllocsPerRun(10, func() {
		for range blocks * blockLen {
			q.push(v)
			q.drop(1)
		}
	})
	require.Less(t, allocs, float64(blocks), "only the list of blocks is allocated, and not for each block")
}

// Random calls of a fifo have the same results as those of a slice. A dropped item must not be kept from the
// garbage collector.
func TestFifo_BehavesLikeSlice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q fifo[*int]
	var model []*int
	for step := range 5_000 {
		if r.IntN(2) == 0 {
			for range r.IntN(1 + step/4) {
				v := new(int)
				q.push(v)
				model = append(model, v)
			}
		} else {
			for n := r.IntN(1 + len(model)); n > 0; {
				front := q.front()
				require.NotEmpty(t, front, "front of a queue that is not empty")
				front = front[:min(n, len(front))]
				for i, v := range front {
					if v != model[i] {
						t.Fatalf("step %d: wrong item", step)
					}
				}
				model = model[len(front):]
				n -= len(front)
				q.drop(len(front))
			}
		}
		if length(&q) != len(model) || q.empty() != (len(model) == 0) {
			t.Fatalf("step %d: %d items, %d in the model", step, length(&q), len(model))
		}
		for _, v := range q.spare[:cap(q.spare)] {
			require.Nil(t, v, "dropped item kept")
		}
		for i, block := range q.blocks {
			for j, v := range block[:cap(block)] {
				if live := j < len(block) && (i > 0 || j >= q.head); (v != nil) != live {
					t.Fatalf("step %d: slot %d of block %d: dropped item kept, or queued item lost", step, j, i)
				}
			}
		}
	}
}

func TestFifo_ReleasesMemory(t *testing.T) {
	var q fifo[int]
	for i := range 100 * blockLen {
		q.push(i)
	}
	for len(q.blocks) > 1 {
		before := len(q.blocks)
		q.drop(len(q.front()))
		require.Len(t, q.blocks, before-1, "while many items are dropped")
	}
	q.drop(len(q.front()))
	require.LessOrEqual(t, cap(q.blocks)*cap(q.blocks[0]), 2*blockLen, "after all items were dropped")

	q.push(0)
	for i := range 100 * blockLen { // short but never empty
		q.push(i)
		q.drop(1)
	}
	require.LessOrEqual(t, len(q.blocks), 2, "a short queue")

	for !q.empty() {
		q.drop(len(q.front()))
	}
	require.Zero(t, testing.AllocsPerRun(10, func() {
		q.push(1)
		q.drop(1)
	}), "a queue that is often empty does not allocate")
}

func TestInbox_HoldsOneTokenWhileNotEmpty(t *testing.T) {
	q := inbox{wake: make(chan struct{}, 1)}
	a, b, c := &cell{name: "a"}, &cell{name: "b"}, &cell{name: "c"}

	for name, of := range map[string]struct {
		urgent bool
		cells  *fifo[*cell]
		take   func(spare fifo[*cell]) fifo[*cell]
	}{
		"cells":  {false, &q.cells, q.take},
		"urgent": {true, &q.urgent, q.takeUrgent},
	} {
		t.Run(name, func(t *testing.T) {
			take := func(spare fifo[*cell]) []*cell {
				taken := of.take(spare)
				return taken.front()
			}

			require.Empty(t, take(fifo[*cell]{}))
			q.push(a, of.urgent)
			q.push(b, of.urgent)
			require.Len(t, q.wake, 1)
			require.Equal(t, []*cell{a, b}, take(fifo[*cell]{}))

			q.push(c, of.urgent) // the token of a was not read
			require.Len(t, q.wake, 1)
			<-q.wake
			require.Equal(t, []*cell{c}, take(fifo[*cell]{}))

			q.push(a, of.urgent) // the token was read
			require.Len(t, q.wake, 1)
			spare := make([]*cell, 0, 8)
			require.Equal(t, []*cell{a}, take(fifo[*cell]{blocks: [][]*cell{spare}}))
			q.push(b, of.urgent)
			require.Equal(t, &spare[:1][0], &of.cells.front()[0], "the spare memory is used")
			require.Equal(t, []*cell{b}, take(fifo[*cell]{}))
			<-q.wake
		})
	}
}

// The publisher takes one queue after the other, and may read the token before both.
func TestInbox_HoldsATokenForTheQueueThatIsNotTakenYet(t *testing.T) {
	for _, urgent := range []bool{false, true} {
		q := inbox{wake: make(chan struct{}, 1)}
		q.push(&cell{}, !urgent)
		<-q.wake
		if urgent {
			q.takeUrgent(fifo[*cell]{})
		} else {
			q.take(fifo[*cell]{})
		}
		q.push(&cell{}, urgent)
		if !urgent {
			q.takeUrgent(fifo[*cell]{})
		} else {
			q.take(fifo[*cell]{})
		}
		require.Len(t, q.wake, 1, "the second cell, urgent: %v", urgent)
	}
}

// A lost token would block the reader forever, which synctest reports.
func TestInbox_ConcurrentPushLosesNothing(t *testing.T) {
	const pushers, each = 4, 5_000
	synctest.Test(t, func(t *testing.T) {
		q := inbox{wake: make(chan struct{}, 1)}
		for i := range pushers {
			go func() {
				for range each {
					q.push(&cell{}, i%2 == 0)
				}
			}()
		}
		taken := map[*cell]int{}
		empty := func(got fifo[*cell]) fifo[*cell] {
			for !got.empty() {
				for _, c := range got.front() {
					taken[c]++
					require.Equal(t, 1, taken[c], "a cell was taken twice")
				}
				got.drop(len(got.front()))
			}
			return got
		}
		var spare, spareUrgent fifo[*cell]
		for len(taken) < pushers*each {
			<-q.wake
			got := q.take(spare)
			spareUrgent = empty(q.takeUrgent(spareUrgent))
			spare = empty(got)
		}
		require.True(t, q.cells.empty())
		require.True(t, q.urgent.empty())
	})
}
