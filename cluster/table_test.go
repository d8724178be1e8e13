package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A table is a map, whatever is done to it.
func TestTable_IsAMap(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		table, model := newTable(), map[string]packed{}
		names := 1 + r.IntN(3000)
		grow := 0.5
		for step := range 20_000 {
			if step%2500 == 0 {
				grow = r.Float64()
			}
			name := fmt.Sprint(r.IntN(names))
			i := table.find([]byte(name))
			if want, ok := model[name]; ok != (i >= 0) || ok && table.entries[i].word != want {
				t.Fatalf("seed %d, step %d: %q is at %d", seed, step, name, i)
			}
			switch {
			case r.Float64() < grow:
				if i < 0 {
					i = table.insert(name)
				}
				table.entries[i].word = packed(step)
				model[name] = packed(step)
			case i >= 0:
				table.remove(i)
				delete(model, name)
			}
		}
		require.Len(t, table.entries, len(model))
		for name, want := range model {
			require.Equal(t, want, table.entries[table.find([]byte(name))].word)
		}
		for len(table.entries) > 0 {
			table.remove(r.IntN(len(table.entries)))
		}
		require.LessOrEqual(t, len(table.slots), 64) // its memory comes back
		require.LessOrEqual(t, cap(table.entries), 64)
		require.Equal(t, -1, table.find([]byte("0")))
	}
}

func TestTable_FindsWithoutAllocation(t *testing.T) {
	table, name := newTable(), []byte("a room's name that is not short")
	table.insert(string(name))
	require.Zero(t, testing.AllocsPerRun(100, func() { table.find(name) }))
}

func TestTable_IsSmall(t *testing.T) {
	table, rooms := newTable(), 0
	for ; rooms < 200_000; rooms++ {
		table.insert(fmt.Sprint(rooms))
		if rooms >= 1000 {
			bytes := 24*cap(table.entries) + 4*len(table.slots)
			require.LessOrEqual(t, bytes, 41*(rooms+1))
		}
	}
}
