package natscluster

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
