package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStream_Receive(t *testing.T) {
	for _, c := range []struct {
		name string
		s    stream
		d    span
		want verdict
	}{
		{"the next digest", stream{applied: 3}, span{base: 3, seq: 4}, apply},
		{"an older base", stream{applied: 3}, span{base: 1, seq: 4}, apply},
		{"applied already", stream{applied: 3}, span{base: 2, seq: 3}, duplicate},
		{"a digest is missing", stream{applied: 3}, span{base: 4, seq: 5}, gap},
		{"a snapshot of an older state", stream{applied: 3}, span{reset: true, seq: 1, snapshotEnd: 3}, duplicate},
		{"a snapshot of a newer state", stream{applied: 3}, span{reset: true, seq: 1, snapshotEnd: 4}, apply},
		{"no snapshot, but one is needed", stream{applied: 3, needsSnapshot: true}, span{base: 3, seq: 4}, duplicate},
		{"the needed snapshot", stream{applied: 3, needsSnapshot: true}, span{reset: true, seq: 1, snapshotEnd: 1}, apply},
	} {
		require.Equal(t, c.want, c.s.receive(c.d), c.name)
		require.Equal(t, c.d.seq, c.s.published, c.name)
	}
}

func TestStream_RequestsMissingChanges(t *testing.T) {
	s := stream{applied: 3, published: 5}
	require.Equal(t, uint64(3), s.request(2*time.Second))
	require.False(t, s.heartbeat(6))
	require.False(t, s.apply(span{base: 3, seq: 4}, 2600*time.Millisecond))
	require.Equal(t, 3600*time.Millisecond, s.nextSync(false, 0, 0)) // the peer is sending the rest
	require.True(t, s.awaiting(3500*time.Millisecond))
	require.False(t, s.awaiting(3600*time.Millisecond))
	require.False(t, s.apply(span{base: 4, seq: 6}, 3*time.Second))
	require.False(t, s.behind())
	require.False(t, s.awaiting(3*time.Second))
	require.True(t, s.heartbeat(6))
	require.False(t, s.heartbeat(2)) // the digests were forged
	require.Zero(t, s.request(5*time.Second))
	require.False(t, s.apply(span{reset: true, seq: 1, snapshotEnd: 2}, 5*time.Second))
	require.True(t, s.behind())
	require.True(t, s.apply(span{base: 1, seq: 2}, 5*time.Second))
	require.False(t, s.behind())
}

func TestStream_BacksOffWithoutProgress(t *testing.T) {
	s, sent := stream{published: 1, syncSent: -syncInterval}, []time.Duration{}
	for now := time.Duration(0); now < 32*time.Second; now += time.Second {
		if now >= s.nextSync(false, 0, 0) {
			s.request(now)
			sent = append(sent, now/time.Second)
		}
	}
	require.Equal(t, []time.Duration{0, 2, 6, 14, 22, 30}, sent)
	require.Equal(t, 38*time.Second, s.nextSync(true, 0, 0))
	require.InDelta(t, 36*time.Second, s.nextSync(false, 255, 0), float64(10*time.Millisecond))
	require.Equal(t, 58*time.Second, s.nextSync(false, 0, 20*time.Second)) // a slow bus
	s.apply(span{reset: true, seq: 1, snapshotEnd: 2}, 40*time.Second)     // progress
	require.Equal(t, 41*time.Second, s.nextSync(false, 255, 0))
	require.Equal(t, 42*time.Second, s.nextSync(true, 0, 0)) // the peer is overloaded
}
