//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBaseline_WritesToEachConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	b := baseline{Conns: 3, Bytes: 100, Gap: 10 * time.Millisecond}
	start, result := time.Now(), make(chan error)
	go func() { result <- b.write(l) }()
	var conns []net.Conn
	for range b.Conns {
		conn, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	const rounds = 5
	for _, conn := range conns {
		_, err := io.ReadFull(conn, make([]byte, rounds*b.Bytes))
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, time.Since(start), (rounds-1)*b.Gap, "not faster than one round per gap")
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	require.Error(t, <-result)
}

func TestBaseline_MeasureReturnsUsage(t *testing.T) {
	u, err := baseline{Conns: 100, Bytes: 100, Gap: time.Millisecond}.measure(t.Context(), 500*time.Millisecond)
	require.NoError(t, err)
	require.Positive(t, u.cores)
	require.Positive(t, u.writes)
}

func TestBaseline_MeasureReturnsZero_IfContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u, err := baseline{Conns: 2, Bytes: 1, Gap: time.Second}.measure(ctx, time.Hour)
	require.NoError(t, err)
	require.Zero(t, u)
}
