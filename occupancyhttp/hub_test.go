package occupancyhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// frameWriter is a ResponseWriter that passes each written frame on without copying it.
// A write blocks until the test receives the frame or the client disconnects.
type frameWriter struct {
	header http.Header
	frames chan []byte
	done   <-chan struct{} // closed when the client disconnects
}

func (w *frameWriter) Header() http.Header { return w.header }
func (w *frameWriter) WriteHeader(int)     {}
func (w *frameWriter) Flush()              {}

func (w *frameWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *frameWriter) Write(b []byte) (int, error) {
	if !bytes.HasPrefix(b, []byte("event: ")) {
		return len(b), nil
	}
	select {
	case w.frames <- b:
		return len(b), nil
	case <-w.done:
		return 0, io.ErrClosedPipe
	}
}

// openStreams opens n streams without a server. The streams end when the context is done.
// wait blocks until all streams have ended.
func openStreams(ctx context.Context, h http.Handler, n int, path string) (writers []*frameWriter, wait func()) {
	var streams sync.WaitGroup
	for range n {
		w := &frameWriter{http.Header{}, make(chan []byte), ctx.Done()}
		writers = append(writers, w)
		streams.Go(func() { h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)) })
	}
	return writers, streams.Wait
}

func TestHub_EncodesEachEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		ctx, cancel := context.WithCancel(t.Context())
		writers, wait := openStreams(ctx, occupancyhttp.NewHandler(e), 100, "/events?room=lobby")
		for round := range 3 {
			synctest.Wait()
			encodings := map[*byte]int{}
			for _, w := range writers {
				encodings[unsafe.SliceData(<-w.frames)]++
			}
			if len(encodings) != 1 {
				t.Errorf("round %d: 100 streams wrote %d encodings", round, len(encodings))
			}
			must(t, e.Join("lobby"))
			time.Sleep(time.Second)
		}
		cancel()
		wait()
	})
}

// Streams of invented rooms cost no goroutine and no subscription for each room, and the
// rooms do not exist in the engine.
func TestHub_RequestedRoomsAreCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		ctx, cancel := context.WithCancel(t.Context())
		before := runtime.NumGoroutine()
		h := occupancyhttp.NewHandler(e)
		const rooms = 200
		url := "/events?room=lobby"
		one, waitOne := openStreams(ctx, h, 50, url)
		for i := range rooms - 1 {
			url += fmt.Sprint("&room=", i)
		}
		several, waitSeveral := openStreams(ctx, h, 50, url)
		synctest.Wait()
		for _, w := range append(one, several...) {
			if f := <-w.frames; !bytes.Contains(f, []byte(`"connections":0`)) {
				t.Errorf("%s", f)
			}
		}
		if got := e.Stats(); got.Subscriptions != 0 || got.Watchers != 1 || got.Rooms != 0 {
			t.Errorf("%+v", got)
		}
		if got := h.Stats(); got.Streams != 100 || got.Rooms != rooms || got.Opened != 100 {
			t.Errorf("%+v", got)
		}
		if got := runtime.NumGoroutine() - before; got > 150 { // some may belong to other tests
			t.Errorf("%d goroutines for 100 requests of %d rooms", got, rooms)
		}
		cancel()
		waitOne()
		waitSeveral()
		synctest.Wait()
		wantNoStreams(t, e, h)
	})
}

// wantNoStreams checks that the handler has released everything that streams need.
func wantNoStreams(t *testing.T, e *occupancy.Engine, h *occupancyhttp.Handler) {
	t.Helper()
	if got := h.Stats(); got.Streams != 0 || got.Rooms != 0 {
		t.Errorf("%+v", got)
	}
	if got := e.Stats().Watchers; got != 0 {
		t.Errorf("%d watchers remain", got)
	}
}

// Streams of one room open and close concurrently, so that the hub often creates a feed
// for one stream while it deletes the feed of another stream.
func TestHub_ConcurrentFirstAndLastStream(t *testing.T) {
	const workers, rounds = 8, 300
	e := newEngine(t, occupancy.WithInterval(0))
	h := occupancyhttp.NewHandler(e)
	must(t, e.Join("lobby"))
	paths := []string{"/events?room=lobby", "/events?room=other&room=lobby"}
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for round := range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				w, wait := openStreams(ctx, h, 1, paths[(worker+round)%2])
				for got := false; !got; { // the test hangs if a stream receives no event
					got = bytes.Contains(<-w[0].frames, []byte(`"connections":1`))
				}
				cancel()
				wait()
				if got := e.Stats().Watchers; got > 1 {
					t.Errorf("%d watchers", got)
				}
			}
		})
	}
	all.Wait()
	wantNoStreams(t, e, h)
}

// A stream that stays open receives every last value while other streams open and close.
func TestHub_LastValueDelivered_WhileOtherStreamsOpenAndClose(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(0))
	h := occupancyhttp.NewHandler(e)
	ctx, cancel := context.WithCancel(t.Context())
	permanent, wait := openStreams(ctx, h, 1, "/events?room=lobby&room=other")
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for ctx.Err() == nil {
				ctx, cancel := context.WithCancel(ctx)
				w, wait := openStreams(ctx, h, 1, "/events?room=lobby&room=revoked")
				select {
				case <-w[0].frames:
				case <-ctx.Done():
				}
				cancel()
				wait()
			}
		})
	}
	others.Go(func() {
		for ctx.Err() == nil {
			h.Revoke(func(_ *http.Request, room string) bool { return room == "revoked" })
		}
	})
	for i := range 500 {
		must(t, e.Join("lobby"))
		for want := fmt.Appendf(nil, `"connections":%d,`, i+1); !bytes.Contains(<-permanent[0].frames, want); {
		}
	}
	cancel()
	wait()
	others.Wait()
	wantNoStreams(t, e, h)
}

// Room b changes after the stream has read its pending bit and before the stream writes
// the event. The stream writes the new event once, not twice.
func TestStream_NoEventTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		ctx, cancel := context.WithCancel(t.Context())
		writers, wait := openStreams(ctx, occupancyhttp.NewHandler(e), 1, "/events?room=a&room=b")
		frames := writers[0].frames
		join := func(room string) {
			must(t, e.Join(room))
			time.Sleep(time.Second)
		}
		expect := func(room string, connections int) {
			if f := <-frames; !bytes.Contains(f, fmt.Appendf(nil, `{"room":%q,"type":"occupancy.updated","occupancy":{"connections":%d,`, room, connections)) {
				t.Errorf("%s, want %s %d", f, room, connections)
			}
		}
		synctest.Wait()
		<-frames
		<-frames
		join("a") // the stream is writing this event
		join("a")
		join("b")
		expect("a", 1)
		synctest.Wait() // both rooms are pending, and the stream is writing a
		join("b")
		expect("a", 2)
		expect("b", 2)
		synctest.Wait()
		select {
		case f := <-frames:
			t.Errorf("unexpected frame: %s", f)
		default:
		}
		cancel()
		wait()
	})
}

// Room b is revoked while its event is pending. The stream does not write this event.
func TestRevoke_PendingEventIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		ctx, cancel := context.WithCancel(t.Context())
		h := occupancyhttp.NewHandler(e)
		writers, wait := openStreams(ctx, h, 1, "/events?room=a&room=b")
		frames := writers[0].frames
		synctest.Wait()
		<-frames
		<-frames
		must(t, e.Join("a"))
		synctest.Wait() // the stream is writing a
		time.Sleep(time.Second)
		must(t, e.Join("a"))
		must(t, e.Join("b"))
		synctest.Wait()
		<-frames
		synctest.Wait() // both rooms are pending, and the stream is writing a
		h.Revoke(func(_ *http.Request, room string) bool { return room == "b" })
		if f := <-frames; !bytes.Contains(f, []byte(`"room":"a"`)) {
			t.Errorf("%s", f)
		}
		if f := <-frames; !bytes.HasPrefix(f, []byte("event: occupancy.refused")) {
			t.Errorf("%s", f)
		}
		cancel()
		wait()
	})
}

func TestHub_ClosedEngineRefusesNewStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e)
		ctx, cancel := context.WithCancel(t.Context())
		_, wait := openStreams(ctx, h, 1, "/events?room=lobby") // blocked in its first write
		synctest.Wait()
		must(t, e.Join("lobby"))
		synctest.Wait()
		must(t, e.Close())
		synctest.Wait()
		if resp := serve(h, http.MethodGet, "/events?room=lobby"); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s", resp.Status)
		}
		cancel()
		wait()
	})
}
