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
	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

// connectedPair returns a connection of a dialer and its other end.
func connectedPair(t *testing.T) (d *dialer, conn, peer net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	d = newDialer()
	t.Cleanup(d.close)
	conn, err = d.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	peer, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = peer.Close() })
	return d, conn, peer
}

func TestSocket_FailedWriteDiscardsBufferedData(t *testing.T) {
	_, conn, reader := connectedPair(t)
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	var written int64
	for {
		n, err := conn.Write(make([]byte, 1<<16))
		written += int64(n)
		if err != nil {
			break // the kernel's buffer is full, and Write has closed the socket
		}
	}
	_, err := conn.Write([]byte("more"))
	require.ErrorIs(t, err, net.ErrClosed)
	read, err := io.Copy(io.Discard, reader)
	require.Error(t, err, "the connection was reset")
	require.Less(t, read, written)
}

func TestSocket_CloseSendsBufferedData_IfSendBuffered(t *testing.T) {
	d, conn, reader := connectedPair(t)
	d.sendBuffered.Store(true)
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

func TestDialer_CloseResetsConnection(t *testing.T) {
	d, conn, reader := connectedPair(t)
	d.close()
	require.NoError(t, reader.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := reader.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = conn.Write([]byte("more"))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = d.Dial("tcp", reader.LocalAddr().String())
	require.Error(t, err)
}

func TestDialer_DialClosesPreviousConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	d := newDialer()
	defer d.close()
	var readers []net.Conn
	for range 3 {
		_, err := d.Dial("tcp", l.Addr().String())
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

func TestSocket_ReadLimitsUndeliveredBytes(t *testing.T) {
	d, conn, writer := connectedPair(t)
	waiting, delivered := make(chan struct{}), make(chan struct{})
	d.awaitDelivery = func() { waiting <- struct{}{}; <-delivered }
	const total = 1 << 20
	go func() { _, _ = writer.Write(make([]byte, total)) }()
	var read atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, total)
		for read.Load() < total {
			n, err := conn.Read(buf)
			if read.Add(int64(n)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for before := int64(0); ; {
		select {
		case <-waiting:
			require.LessOrEqual(t, read.Load()-before, int64(2*readAhead))
			before = read.Load()
			delivered <- struct{}{}
		case <-done:
			require.EqualValues(t, total, read.Load())
			return
		}
	}
}

func TestBus_ReportsLossInNATSClient(t *testing.T) {
	b := newBus(&config.Config{Log: slog.New(slog.DiscardHandler)})
	b.onError(nil, nats.ErrSlowConsumer)
	require.Equal(t, cluster.Lossy, <-b.Events())
	require.EqualValues(t, 1, b.Stats().Lost)
}
