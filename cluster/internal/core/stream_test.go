package core

import (
	"fmt"
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
	request := func(now time.Duration) string {
		since, send, retry := s.request(now, false)
		return fmt.Sprintf("since %d: %v, again at %v", since, send, retry)
	}
	require.Equal(t, "since 3: true, again at 3s", request(2*time.Second))
	require.Equal(t, "since 3: false, again at 3s", request(2500*time.Millisecond))
	require.False(t, s.heartbeat(6))
	require.False(t, s.apply(span{base: 3, seq: 4}, 2600*time.Millisecond))
	require.Equal(t, "since 4: false, again at 3.6s", request(3*time.Second)) // the peer is sending the rest
	require.False(t, s.apply(span{base: 4, seq: 6}, 3*time.Second))
	require.False(t, s.behind())
	require.True(t, s.heartbeat(6))
	s.wantSync = true // after a loss
	require.Equal(t, fmt.Sprintf("since 6: true, again at %v", Never), request(4*time.Second))
	require.False(t, s.heartbeat(2)) // the digests were forged
	require.Equal(t, "since 0: true, again at 6s", request(5*time.Second))
	require.False(t, s.apply(span{reset: true, seq: 1, snapshotEnd: 2}, 5*time.Second))
	require.True(t, s.behind())
	require.True(t, s.apply(span{base: 1, seq: 2}, 5*time.Second))
	require.False(t, s.behind())
}

func TestStream_OverloadedNodeBacksOff(t *testing.T) {
	s, sent := stream{published: 1, syncSent: -syncInterval}, []time.Duration{}
	for now := time.Duration(0); now < 32*time.Second; now += time.Second {
		if _, send, _ := s.request(now, true); send {
			sent = append(sent, now/time.Second)
		}
	}
	require.Equal(t, []time.Duration{0, 2, 6, 14, 22, 30}, sent)
	_, send, retry := s.request(32*time.Second, false) // no longer overloaded
	require.True(t, send)
	require.Equal(t, 33*time.Second, retry)
	s.apply(span{reset: true, seq: 1, snapshotEnd: 2}, 40*time.Second) // progress
	_, send, retry = s.request(40*time.Second, true)
	require.False(t, send)
	require.Equal(t, 41*time.Second, retry)
}
