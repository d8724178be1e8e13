package occupancyhttp_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

const streamCount = 10_000

// BenchmarkFanOut measures the time from a Join until all 10,000 streams of the room have
// received the event. The clients run in a second process on the same cores, and connect
// over the loopback interface. The floor writes the same bytes to 10,000 TCP connections,
// from one goroutine for each core.
func BenchmarkFanOut(b *testing.B) {
	measure := func(b *testing.B, c *clientProcess, change func()) {
		c.awaitEvent(b) // the snapshot
		var worst time.Duration
		for b.Loop() {
			start := time.Now()
			change()
			c.awaitEvent(b)
			worst = max(worst, time.Since(start))
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/event")
		b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
	}
	b.Run("floor", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		frame := []byte("9a\r\nevent: occupancy.updated\nid: 7\n: at 1764330000123\ndata: " +
			`{"room":"lobby","type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}` + "\n\n\r\n")
		c := startClients(b, l.Addr().String(), streamCount, "/")
		conns := make([]net.Conn, streamCount)
		for i := range conns {
			if conns[i], err = l.Accept(); err != nil {
				b.Fatal(err)
			}
			defer conns[i].Close()
			_, _ = fmt.Fprintf(conns[i], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s", frame)
		}
		measure(b, c, func() {
			var wg sync.WaitGroup
			cores := runtime.GOMAXPROCS(0)
			for core := range cores {
				wg.Go(func() {
					for i := core; i < len(conns); i += cores {
						_ = conns[i].SetWriteDeadline(time.Now().Add(time.Second))
						_, _ = conns[i].Write(frame)
					}
				})
			}
			wg.Wait()
		})
	})
	b.Run("streams", func(b *testing.B) {
		e := occupancy.New(occupancy.WithInterval(0))
		defer e.Close()
		s := httptest.NewServer(occupancyhttp.NewHandler(e))
		defer s.Close()
		c := startClients(b, s.Listener.Addr().String(), streamCount, "/events?room=lobby")
		defer c.stop()
		measure(b, c, func() {
			if err := e.Join("lobby"); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// memory returns the memory of the heap and of the stacks.
func memory() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkInventedRooms measures the cost of 400 streams that request 256 rooms each. All
// rooms are different, and nobody is in them.
func BenchmarkInventedRooms(b *testing.B) {
	const streams, rooms = 400, 256
	var path strings.Builder
	path.WriteString("/events?")
	for i := range rooms {
		fmt.Fprintf(&path, "room=client-%%d-%d&", i)
	}
	for b.Loop() {
		e := occupancy.New()
		s := httptest.NewServer(occupancyhttp.NewHandler(e))
		before := memory()
		c := startClients(b, s.Listener.Addr().String(), streams, path.String())
		for range rooms {
			c.awaitEvent(b)
		}
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		b.ReportMetric((memory()-before)/1e6, "MB")
		c.stop()
		s.Close()
		_ = e.Close()
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdleStream measures the memory, heap and stack, of an idle stream. It also
// reports the memory that net/http needs for a handler that only waits.
func BenchmarkIdleStream(b *testing.B) {
	const streams = streamCount / 2
	measure := func(b *testing.B, h http.Handler, path string) float64 {
		s := httptest.NewServer(h)
		defer s.Close()
		before := memory()
		c := startClients(b, s.Listener.Addr().String(), streams, path)
		defer c.stop()
		c.awaitEvent(b)
		return (memory() - before) / streams
	}
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "data: \n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, bench := range []struct{ name, path string }{
		{"one room", "/events?room=lobby"},
		{"one room per stream", "/events?room=room-%d"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var total, netHTTP float64
			for b.Loop() {
				netHTTP = measure(b, bare, bench.path)
				e := occupancy.New()
				h := occupancyhttp.NewHandler(e)
				total = measure(b, h, bench.path)
				_ = e.Close()
			}
			b.ReportMetric(netHTTP, "net/http-B/stream")
			b.ReportMetric(total-netHTTP, "occupancyhttp-B/stream")
			b.ReportMetric(0, "ns/op")
		})
	}
}
