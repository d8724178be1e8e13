package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEcho_MeasuresDelay(t *testing.T) {
	var e echo
	require.Zero(t, e.waiting(beat))
	e.add(1, 0)
	e.add(2, beat)
	e.add(3, 2*beat)
	require.Equal(t, 3*beat, e.waiting(3*beat))
	e.returned(2, 3*beat) // 1 is lost
	require.Equal(t, 2*beat, e.delay)
	require.Equal(t, beat, e.waiting(3*beat))
	e.returned(2, 4*beat) // a duplicate
	require.Equal(t, 2*beat, e.delay)
	e.reset()
	require.Zero(t, e.waiting(time.Hour))
	for i := range uint64(1000) { // nothing returns
		e.add(i, 0)
	}
	require.Len(t, e.sent, maxSentBeats)
	e.returned(999, time.Hour)
	require.Zero(t, e.waiting(time.Hour))
}
