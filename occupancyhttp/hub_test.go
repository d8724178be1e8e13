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

// tap is a ResponseWriter that hands over each frame as it was written to it, in the
// very memory that it was written from, until its client goes.
type tap struct {
	header http.Header
	frames chan []byte
	gone   <-chan struct{}
}

func (w *tap) Header() http.Header { return w.header }
func (w *tap) WriteHeader(int)     {}
func (w *tap) Flush()              {}

func (w *tap) Write(b []byte) (int, error) {
	select {
	case w.frames <- b:
		return len(b), nil
	case <-w.gone:
		return 0, io.ErrClosedPipe
	}
}

// tapped opens n streams without a server, until the context is done.
func tapped(ctx context.Context, h http.Handler, n int, path string) (taps []*tap, wait func()) {
	var streams sync.WaitGroup
	for range n {
		w := &tap{http.Header{}, make(chan []byte), ctx.Done()}
		taps = append(taps, w)
		streams.Go(func() { h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)) })
	}
	return taps, streams.Wait
}

func TestAnEventIsEncodedOnceForAllStreamsOfARoom(t *testing.T) {
	for _, path := range []string{"/rooms/lobby/occupancy/events", "/occupancy/events?room=lobby"} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			ctx, cancel := context.WithCancel(t.Context())
			taps, wait := tapped(ctx, occupancyhttp.NewHandler(e), 100, path)
			for round := range 3 {
				synctest.Wait()
				memory := map[*byte]int{}
				for _, w := range taps {
					memory[unsafe.SliceData(<-w.frames)]++
				}
				if len(memory) != 1 {
					t.Errorf("round %d: 100 streams wrote %d encodings", round, len(memory))
				}
				must(t, e.Join("lobby"))
				time.Sleep(time.Second)
			}
			cancel()
			wait()
		})
	}
}

func TestStreamsOfARoomShareOneSubscriptionAndNeedNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		ctx, cancel := context.WithCancel(t.Context())
		before := runtime.NumGoroutine()
		h := occupancyhttp.NewHandler(e)
		one, waitOne := tapped(ctx, h, 50, "/rooms/lobby/occupancy/events")
		many, waitMany := tapped(ctx, h, 50, "/occupancy/events?room=lobby")
		synctest.Wait()
		for _, w := range append(one, many...) {
			if f := <-w.frames; !bytes.Contains(f, []byte(`"connections":0`)) {
				t.Errorf("%s", f)
			}
		}
		if got := e.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions for the streams of one room", got)
		}
		if got := runtime.NumGoroutine() - before; got > 100+1 {
			t.Errorf("%d goroutines for 100 requests and one room", got)
		}
		cancel()
		waitOne()
		waitMany()
		if got := e.Stats().Subscriptions; got != 0 {
			t.Errorf("%d subscriptions are left", got)
		}
	})
}

// Streams of one room come and go as fast as they can, so that all the time one of them
// is the last while another is the first.
func TestFirstAndLastStreamsOfARoomMayMeet(t *testing.T) {
	const workers, rounds = 8, 300
	e := newEngine(t, occupancy.WithInterval(0))
	h := occupancyhttp.NewHandler(e)
	must(t, e.Join("lobby"))
	paths := []string{"/rooms/lobby/occupancy/events", "/occupancy/events?room=lobby&room=other"}
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for round := range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				w, wait := tapped(ctx, h, 1, paths[(worker+round)%2])
				for got := false; !got; { // a stream that is not told hangs the test
					got = bytes.Contains(<-w[0].frames, []byte(`"connections":1`))
				}
				cancel()
				wait()
				if got := e.Stats().Subscriptions; got > 2 {
					t.Errorf("%d subscriptions for two rooms", got)
				}
			}
		})
	}
	all.Wait()
	if got := e.Stats().Subscriptions; got != 0 {
		t.Errorf("%d subscriptions are left", got)
	}
}

// While streams come and go, one that stays is told every last word.
func TestAStreamThatStaysIsToldWhileOthersComeAndGo(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(0))
	h := occupancyhttp.NewHandler(e)
	ctx, cancel := context.WithCancel(t.Context())
	stays, wait := tapped(ctx, h, 1, "/occupancy/events?room=lobby&room=other")
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for ctx.Err() == nil {
				ctx, cancel := context.WithCancel(ctx)
				w, wait := tapped(ctx, h, 1, "/rooms/lobby/occupancy/events")
				select {
				case <-w[0].frames:
				case <-ctx.Done():
				}
				cancel()
				wait()
			}
		})
	}
	for i := range 500 {
		must(t, e.Join("lobby"))
		for want := fmt.Appendf(nil, `"connections":%d,`, i+1); !bytes.Contains(<-stays[0].frames, want); {
		}
	}
	cancel()
	wait()
	others.Wait()
}

// A room that changes while its stream is on the way to it is told once, not twice.
func TestAStreamTellsNoEventTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		ctx, cancel := context.WithCancel(t.Context())
		taps, wait := tapped(ctx, occupancyhttp.NewHandler(e), 1, "/occupancy/events?room=a&room=b")
		frames := taps[0].frames
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
		join("a") // is being written
		join("a")
		join("b")
		expect("a", 1)
		synctest.Wait() // both are marked, a is being written
		join("b")
		expect("a", 2)
		expect("b", 2)
		synctest.Wait()
		select {
		case f := <-frames:
			t.Errorf("one more: %s", f)
		default:
		}
		cancel()
		wait()
	})
}

func TestAClosedEngineRefusesStreamsWhileOthersAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e)
		ctx, cancel := context.WithCancel(t.Context())
		_, wait := tapped(ctx, h, 1, "/rooms/lobby/occupancy/events") // waits for its client
		synctest.Wait()
		must(t, e.Join("lobby"))
		synctest.Wait()
		must(t, e.Close())
		synctest.Wait()
		if resp := ask(h, http.MethodGet, "/rooms/lobby/occupancy/events"); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s", resp.Status)
		}
		cancel()
		wait()
	})
}
