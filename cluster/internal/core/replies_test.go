package core

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReplies_OneDigestAtATime(t *testing.T) {
	l := newLedger(10, 10, func() {})
	f := &feed{ledger: l}
	for i := range 40 {
		l.put(fmt.Sprint("room", i), 1, userList{})
		l.endFlush()
	}
	var r replies
	a, b := Incarnation{1}, Incarnation{2}
	require.Equal(t, Never, r.dueAt())
	r.add(request{syncRequest{from: a}, f})
	r.add(request{syncRequest{from: b, since: 1}, f})
	r.add(request{syncRequest{from: b, since: 39}, f}) // replaces the previous request
	to, payload := r.encode(600, 0)
	require.Equal(t, a, to)
	require.NotNil(t, payload)
	require.True(t, l.pinned)
	r.add(request{syncRequest{from: a}, f}) // is being answered
	require.Equal(t, Never, r.dueAt())      // until sent is called
	require.False(t, r.sent(false, 300, 1000))
	require.Equal(t, time.Duration(600), r.dueAt()) // other events are handled for as long
	for ended := false; !ended; ended = r.sent(false, 600, 1000) {
		to, _ = r.encode(600, 600)
		require.Equal(t, a, to)
	}
	require.False(t, l.pinned)
	to, payload = r.encode(600, 700)
	require.Equal(t, b, to)
	var d digest
	require.True(t, d.decode(payload))
	require.Equal(t, span{base: 39, seq: 40, until: 40}, d.span)
	require.True(t, r.sent(true, 700, 1000)) // the digest was lost: the peer will repeat its request
	require.Empty(t, r.queue)
	r.add(request{syncRequest{from: a, since: 40}, f}) // nothing is missing
	to, payload = r.encode(600, 700)
	require.Equal(t, a, to)
	require.Nil(t, payload)
	r.add(request{syncRequest{from: a}, f})
	r.encode(600, 700)
	r.remove(a)
	require.False(t, l.pinned)
	require.False(t, r.sent(false, 700, 1000))
}
