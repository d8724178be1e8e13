package occupancyhttp_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestHealth_StreamReportsStaleCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var reasons atomic.Pointer[[]string]
		reasons.Store(new([]string))
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithHealth(func() []string { return *reasons.Load() }))
		s := newTestServer(t, h)
		stream := s.openStream("/events?room=lobby")
		expect := func(stream *streamReader, want string) {
			t.Helper()
			for {
				frame, err := stream.nextFrame()
				must(t, err)
				if frame == want {
					return
				}
				if len(frame) > 22 && frame[:22] == "event: occupancy.stale" {
					t.Fatalf("%q, want %q", frame, want)
				}
			}
		}
		const (
			current = "event: occupancy.stale\ndata: {\"stale\":false}\n\n"
			stale   = "event: occupancy.stale\ndata: {\"stale\":true,\"reasons\":[\"bus disconnected\"]}\n\n"
			more    = "event: occupancy.stale\ndata: {\"stale\":true,\"reasons\":[\"bus disconnected\",\"node b is late\"]}\n\n"
		)
		expect(stream, current)
		reasons.Store(&[]string{"bus disconnected"})
		start := time.Now()
		expect(stream, stale)
		if took := time.Since(start); took > time.Second {
			t.Errorf("reported after %v", took)
		}
		other := s.openStream("/events?room=lobby")
		expect(other, stale)
		reasons.Store(&[]string{"bus disconnected", "node b is late"})
		expect(stream, more)
		expect(other, more)
		reasons.Store(new([]string))
		expect(stream, current)
		expect(other, current)
		third := s.openStream("/events?room=lobby")
		expect(third, current)
		time.AfterFunc(5*time.Second, func() { must(t, e.Join("lobby")) })
		for _, stream := range []*streamReader{stream, other, third} {
			stream.readUntil(1)
			stream.close()
		}
		synctest.Wait()
		wantNoStreams(t, e, h)
	})
}

// Without WithHealth, a stream has no occupancy.stale.
func TestHealth_NotReportedByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newTestServer(t, occupancyhttp.NewHandler(newEngine(t))).openStream("/events?room=lobby")
		if n := stream.nextEvent(); n.event != "occupancy.updated" {
			t.Errorf("%+v", n)
		}
		stream.close()
	})
}

// The function of WithHealth is called once a second, for any number of streams, and not
// while no stream is open.
func TestHealth_CalledOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithHeartbeat(0), occupancyhttp.WithHealth(func() []string {
			calls.Add(1)
			return nil
		}))
		s := newTestServer(t, h)
		var streams []*streamReader
		for range 20 {
			stream := s.openStream("/events?room=lobby")
			stream.nextEvent()
			streams = append(streams, stream)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if got := calls.Load(); got != 11 {
			t.Errorf("called %d times in ten seconds", got)
		}
		for _, stream := range streams {
			stream.close()
		}
		time.Sleep(time.Minute)
		if got := calls.Load(); got > 12 {
			t.Errorf("called %d times", got)
		}
		if frame, err := s.openStream("/events?room=lobby").nextFrame(); err != nil || calls.Load() != 13 {
			t.Errorf("%q, %v, called %d times: a stream that opens later needs a new status", frame, err, calls.Load())
		}
	})
}
