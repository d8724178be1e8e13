package natscluster

import (
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

// pair is a socket, and who is to read from it.
func pair(t *testing.T) (*sockets, net.Conn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	s := newSockets()
	t.Cleanup(s.cut)
	conn, err := s.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	reader, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = reader.Close() })
	return s, conn, reader
}

func TestSocket_GivenUpItSendsNothingLate(t *testing.T) {
	_, conn, reader := pair(t)
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	var written int64
	for {
		n, err := conn.Write(make([]byte, 1<<16))
		written += int64(n)
		if err != nil {
			break // the kernel holds all that it can, and the socket is closed
		}
	}
	_, err := conn.Write([]byte("more"))
	require.ErrorIs(t, err, net.ErrClosed)
	read, err := io.Copy(io.Discard, reader)
	require.Error(t, err, "it was reset")
	require.Less(t, read, written)
}

func TestSocket_ClosedGentlyItSendsAll(t *testing.T) {
	s, conn, reader := pair(t)
	s.gentle.Store(true)
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	var written int64
	for {
		n, err := conn.Write(make([]byte, 1<<16))
		written += int64(n)
		if err != nil {
			break
		}
	}
	read, err := io.Copy(io.Discard, reader)
	require.NoError(t, err)
	require.Equal(t, written, read)
}

func TestSocket_IsCutWithTheRest(t *testing.T) {
	s, conn, reader := pair(t)
	s.cut()
	require.NoError(t, reader.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := reader.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = conn.Write([]byte("more"))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = s.Dial("tcp", reader.LocalAddr().String())
	require.Error(t, err)
}

func TestSocket_GivesWayToTheNext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	s := newSockets()
	defer s.cut()
	var readers []net.Conn
	for range 3 {
		_, err := s.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		reader, err := l.Accept()
		require.NoError(t, err)
		defer reader.Close()
		readers = append(readers, reader)
	}
	for _, reader := range readers[:2] {
		require.NoError(t, reader.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err := reader.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.NoError(t, readers[2].SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err = readers[2].Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestSocket_ReadsNoFurtherThanIsPassedOn(t *testing.T) {
	s, conn, writer := pair(t)
	reached, goOn := make(chan struct{}), make(chan struct{})
	s.passOn = func() { reached <- struct{}{}; <-goOn }
	const all = 1 << 20
	go func() { _, _ = writer.Write(make([]byte, all)) }()
	var read atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, all)
		for read.Load() < all {
			n, err := conn.Read(buf)
			if read.Add(int64(n)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for before := int64(0); ; {
		select {
		case <-reached:
			require.LessOrEqual(t, read.Load()-before, int64(2*readAhead))
			before = read.Load()
			goOn <- struct{}{}
		case <-done:
			require.EqualValues(t, all, read.Load())
			return
		}
	}
}

func TestBus_TellsWhatTheClientLost(t *testing.T) {
	b := newBus(new(options))
	b.opts.log = slog.New(slog.DiscardHandler)
	b.failed(nil, nats.ErrSlowConsumer)
	require.Equal(t, cluster.Lossy, <-b.Events())
	require.EqualValues(t, 1, b.Stats().Lost)
}
