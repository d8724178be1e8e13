package core

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChangeLog_MatchesSlice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var log changeLog
	var want []change
	for seq := range uint64(40) {
		for range r.IntN(chunkLen) {
			c := change{&record{}, 2 * seq}
			log.append(c)
			want = append(want, c)
		}
		if r.IntN(5) == 0 {
			remove := func(c change) bool { return c.at%(3+seq%3) != 0 }
			log.deleteFunc(remove)
			want = slices.DeleteFunc(want, remove)
		}
		require.Len(t, want, log.n)
		for i, c := range want {
			require.Equal(t, c, *log.at(i))
		}
		after := log.after(seq)
		require.True(t, after == len(want) || want[after].at > seq)
		require.True(t, after == 0 || want[after-1].at <= seq)
		require.LessOrEqual(t, (len(log.chunks)-1)*chunkLen, len(want)) // memory is released
	}
	log.deleteFunc(func(change) bool { return true })
	require.Empty(t, log.chunks)
}
