package occupancyhttp_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// A stream whose client takes no more of it is cut, and the others of its connection live on.
func TestAnHTTP2StreamThatIsNotReadIsCutAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		s := newSite(t, occupancyhttp.NewHandler(e), http2)
		s.client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 16 << 10}
		reads := s.listen("/rooms/quiet/occupancy/events")
		reads.until(0)
		stuck := s.listen("/rooms/busy/occupancy/events")
		stuck.until(0)
		for range 1000 { // more than the client lets come
			must(t, e.Join("busy"))
			synctest.Wait()
		}
		if got := e.Stats().Subscriptions; got != 2 {
			t.Errorf("%d subscriptions before the time is over", got)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := e.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions, want that of the stream that is read", got)
		}
		must(t, e.Join("quiet"))
		reads.until(1)
		if got := s.pipes.dialled.Load(); got != 1 {
			t.Errorf("%d connections", got)
		}
		reads.leave()
		stuck.leave()
	})
}

// deaf is a connection that reads nothing any more, once it is told to.
type deaf struct {
	net.Conn
	deaf, closed chan struct{}
	close        func() // closes closed, once
}

func (d *deaf) Read(b []byte) (int, error) {
	select {
	case <-d.deaf:
		<-d.closed
		return 0, net.ErrClosed
	default:
		return d.Conn.Read(b)
	}
}

func (d *deaf) Close() error {
	d.close()
	return d.Conn.Close()
}

// A handler cannot end what waits for a whole connection. The server can, as the package
// comment says.
func TestAnHTTP2ConnectionThatIsNotReadIsCutByTheServersWriteByteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		s := newSite(t, occupancyhttp.NewHandler(e), http2, func(s *http.Server) {
			s.HTTP2 = &http.HTTP2Config{WriteByteTimeout: 10 * time.Second}
		})
		stops := make(chan struct{})
		s.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := s.pipes.dial(ctx, network, addr)
			closed := make(chan struct{})
			return &deaf{c, stops, closed, sync.OnceFunc(func() { close(closed) })}, err
		}
		l := s.listen("/rooms/lobby/occupancy/events")
		l.until(0)
		close(stops)
		for range 10 {
			must(t, e.Join("lobby"))
			synctest.Wait()
		}
		if got := e.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions before the time is over", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := e.Stats().Subscriptions; got != 0 {
			t.Errorf("%d subscriptions are left", got)
		}
		l.leave()
	})
}
