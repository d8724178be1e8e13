//go:build unix

package main

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFloor_WritesToEachConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	f := floor{Conns: 3, Bytes: 100, Gap: 10 * time.Millisecond}
	var sent atomic.Int64
	begun, ended := time.Now(), make(chan error)
	go func() { ended <- f.write(l, &sent) }()
	var conns []net.Conn
	for range f.Conns {
		conn, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	const rounds = 5
	for _, conn := range conns {
		_, err := io.ReadFull(conn, make([]byte, rounds*f.Bytes))
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, time.Since(begun), (rounds-1)*f.Gap, "it was before its time")
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	require.Error(t, <-ended)
	require.GreaterOrEqual(t, sent.Load(), int64(rounds*f.Conns))
}

func TestFloor_IsMeasured(t *testing.T) {
	c, err := floor{Conns: 3, Bytes: 100, Gap: time.Millisecond}.measure(t.Context(), 100*time.Millisecond)
	require.NoError(t, err)
	require.Positive(t, c.cores)
	require.Positive(t, c.writes)
}

func TestFloor_HasMeasuredNothingWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := floor{Conns: 2, Bytes: 1, Gap: time.Second}.measure(ctx, time.Hour)
	require.NoError(t, err)
	require.Zero(t, c)
}
