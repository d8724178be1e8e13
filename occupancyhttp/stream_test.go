package occupancyhttp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestStream_SnapshotThenEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("lobby"))
		s := newTestServer(t, occupancyhttp.NewHandler(e))
		stream := s.openStream("/events?room=lobby")
		for name, want := range map[string]string{
			"Content-Type":                  "text/event-stream",
			"Cache-Control":                 "no-store, no-transform",
			"X-Accel-Buffering":             "no",
			"Occupancy-Heartbeat":           "15",
			"Access-Control-Expose-Headers": "Occupancy-Heartbeat, Occupancy-Partial, Retry-After",
		} {
			if got := stream.resp.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		first, err := stream.nextFrame()
		must(t, err)
		var retry int
		var at int64
		if _, err := fmt.Sscanf(first, "retry: %d\n: at %d\n\n", &retry, &at); err != nil || retry < 2000 || retry > 6000 || at != time.Now().UnixMilli() {
			t.Errorf("the stream starts with %q", first)
		}
		var versions []string
		for i, want := range []string{
			`{"room":"lobby","type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}`,
			`{"room":"lobby","type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":1}}`,
		} {
			frame, err := stream.nextFrame()
			must(t, err)
			lines := strings.Split(frame, "\n")
			at := fmt.Sprintf(": at %d", time.Now().UnixMilli())
			if len(lines) != 6 || lines[0] != "event: occupancy.updated" || !strings.HasPrefix(lines[1], "id: ") || lines[2] != at || lines[3] != "data: "+want || lines[4] != "" {
				t.Errorf("frame %d is %q", i, frame)
			}
			versions = append(versions, lines[1])
			time.Sleep(time.Second)
			if i == 0 {
				must(t, e.Enter("lobby", "alice"))
			}
		}
		sub, err := e.Subscribe("lobby")
		must(t, err)
		if v := (<-sub.Events()).Version; versions[1] != fmt.Sprintf("id: %d", v) || versions[0] != fmt.Sprintf("id: %d", v-1) {
			t.Errorf("ids %q, want the versions up to %d", versions, v)
		}
		stream.close()
	})
}

func TestStreamOfRooms_EventsContainTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("b"))
		s := newTestServer(t, occupancyhttp.NewHandler(e))
		stream := s.openStream("/events?room=a&room=b&room=a&room=" + "%22%0A%3C")
		_, err := stream.nextFrame() // the field retry
		must(t, err)
		got := map[string]string{}
		for range 3 { // the duplicate room has one event
			frame, err := stream.nextFrame()
			must(t, err)
			lines := strings.Split(frame, "\n")
			if len(lines) != 6 || lines[0] != "event: occupancy.updated" || !strings.HasPrefix(lines[1], "id: ") || lines[4] != "" {
				t.Errorf("frame is %q", frame)
			}
			data := strings.TrimPrefix(lines[3], "data: ")
			var n streamEvent
			must(t, json.Unmarshal([]byte(data), &n))
			got[n.Room] = data
		}
		for room, want := range map[string]string{
			"a":     `{"room":"a","type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}`,
			"b":     `{"room":"b","type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}`,
			"\"\n<": `{"room":"\"\n\u003c","type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}`,
		} {
			if got[room] != want {
				t.Errorf("%q: %s, want %s", room, got[room], want)
			}
		}
		must(t, e.Join("a"))
		if n := stream.nextEvent(); n.Room != "a" || n.Occupancy.Connections != 1 {
			t.Errorf("%+v", n)
		}
		stream.close()
	})
}

// roomsQuery returns the path of a stream of n rooms.
func roomsQuery(n int) string {
	var q strings.Builder
	q.WriteString("/events?")
	for i := range n {
		fmt.Fprintf(&q, "room=room-%d&", i)
	}
	return strings.TrimSuffix(q.String(), "&")
}

func TestStreamOfRooms_AtMost256(t *testing.T) {
	for _, proto := range []struct {
		name      string
		configure func(*http.Server)
	}{{"HTTP/1.1", func(*http.Server) {}}, {"HTTP/2.0", http2}} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			h := occupancyhttp.NewHandler(e)
			s := newTestServer(t, h, proto.configure)
			stream := s.openStream(roomsQuery(256))
			if stream.resp.Proto != proto.name {
				t.Errorf("protocol %s", stream.resp.Proto)
			}
			seen := map[string]bool{}
			for range 256 {
				seen[stream.nextEvent().Room] = true
			}
			if len(seen) != 256 || h.Stats().Rooms != 256 {
				t.Errorf("events of %d rooms: %+v", len(seen), h.Stats())
			}
			for i := range 256 {
				must(t, e.Join(fmt.Sprintf("room-%d", i)))
			}
			clear(seen)
			for range 256 {
				n := stream.nextEvent()
				seen[n.Room] = n.Occupancy.Connections == 1
			}
			for i := range 256 {
				if room := fmt.Sprintf("room-%d", i); !seen[room] {
					t.Errorf("no event of %s", room)
				}
			}
			stream.close()
			synctest.Wait()
			wantNoStreams(t, e, h)

			resp, _ := s.get(http.MethodGet, roomsQuery(257))
			if resp.StatusCode != http.StatusBadRequest || h.Stats().Opened != 1 {
				t.Errorf("257 rooms: %s, %+v", resp.Status, h.Stats())
			}
		})
	}
}

func TestStream_IgnoresLastEventID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := newTestServer(t, occupancyhttp.NewHandler(e))
		stream := s.openStream("/events?room=lobby")
		first := stream.nextEvent()
		again := s.openStream("/events?room=lobby", "Last-Event-ID", first.id)
		if n := again.nextEvent(); n != first {
			t.Errorf("%+v, want the snapshot %+v", n, first)
		}
		stream.close()
		again.close()
	})
}

func TestStream_BlockedClientIsClosedAndDelaysNoOtherStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithHeartbeat(time.Hour))
		s := newTestServer(t, h)
		reader := s.openStream("/events?room=lobby")
		blocked, err := s.pipes.dial(t.Context(), "", "")
		must(t, err)
		defer blocked.Close()
		_, err = fmt.Fprint(blocked, "GET /events?room=lobby HTTP/1.1\r\nHost: site\r\n\r\n")
		must(t, err)
		_, err = blocked.Read(make([]byte, 1)) // only the first byte of the response
		must(t, err)
		other := s.openStream("/events?room=other")
		other.readUntil(0)

		start := time.Now()
		for i := range 5 {
			must(t, e.Join("lobby"))
			must(t, e.Join("other"))
			reader.readUntil(i + 1)
			other.readUntil(i + 1)
			if took := time.Since(start); took > 5*100*time.Millisecond {
				t.Errorf("the other streams were delayed by %v", took)
			}
		}
		time.Sleep(9*time.Second - time.Since(start))
		synctest.Wait()
		if _, err := blocked.Read(nil); err != nil {
			t.Errorf("closed within 9s: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := blocked.Read(make([]byte, 4096)); err == nil {
			t.Error("not closed after 11s")
		}
		reader.close()
		synctest.Wait()
		if got := h.Stats(); got.Streams != 1 || got.TooSlow != 1 {
			t.Errorf("%+v, want only the stream of the other room", got)
		}
		other.close()
	})
}

func TestStream_LastValueDelivered_SlowClient(t *testing.T) {
	for _, path := range []string{"/events?room=lobby", "/events?room=quiet&room=lobby"} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(0))
			s := newTestServer(t, occupancyhttp.NewHandler(e))
			stream := s.openStream(path)
			for range strings.Count(path, "lobby") + strings.Count(path, "quiet") {
				stream.nextEvent()
			}
			for range 10_000 {
				must(t, e.Join("lobby"))
				synctest.Wait() // so that each Join publishes an event
			}
			seen, last := 0, 0
			for last < 10_000 {
				n := stream.nextEvent().Occupancy.Connections
				if n <= last {
					t.Fatalf("%d after %d", n, last)
				}
				last = n
				seen++
			}
			if seen > 200 { // the buffers of net/http and of the client
				t.Errorf("%d of 10000 events were buffered for a client that did not read", seen)
			}
			stream.close()
		})
	}
}

func TestStream_WriterWithoutFlush(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t))
	resp := serve(http.TimeoutHandler(h, time.Minute, ""), http.MethodGet, "/events?room=lobby")
	if f := decodeError(t, resp); resp.StatusCode != http.StatusInternalServerError || f.Error.Code != "no_streaming" {
		t.Errorf("%s %+v", resp.Status, f)
	}
	if got := h.Stats(); got.Opened != 0 || got.Refused["no_streaming"] != 1 {
		t.Errorf("%+v", got)
	}
}

// compressor is a ResponseWriter like that of chi's Compress: it chooses the encoding in
// WriteHeader, and passes Flush on.
type compressor struct {
	http.ResponseWriter
	http.Flusher
	encoded bool
}

func (c *compressor) WriteHeader(status int) {
	c.encoded = true
	c.Header().Set("Content-Encoding", "x")
	c.ResponseWriter.WriteHeader(status)
}

func TestStream_WriteHeaderBeforeFirstFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := occupancyhttp.NewHandler(newEngine(t))
		s := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&compressor{ResponseWriter: w, Flusher: w.(http.Flusher)}, r)
		}))
		stream := s.openStream("/events?room=lobby")
		if stream.resp.Header.Get("Content-Encoding") != "x" {
			t.Errorf("%v", stream.resp.Header)
		}
		stream.close()
	})
}

// noDeadlines is the ResponseWriter of an adaptor, for example of fasthttp. It supports
// flushing but no write deadlines.
type noDeadlines struct{ *httptest.ResponseRecorder }

// Without write deadlines, a stream whose client has stopped reading would never end.
func TestStream_RefusedWithoutHTTPServer(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t))
	w := noDeadlines{httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/events?room=lobby", nil))
	resp := w.Result()
	if f := decodeError(t, resp); resp.StatusCode != http.StatusInternalServerError || f.Error.Code != "no_streaming" || !strings.Contains(f.Error.Message, "http.Server") {
		t.Errorf("%s %+v", resp.Status, f)
	}
	if got := h.Stats().Opened; got != 0 {
		t.Errorf("%d streams opened", got)
	}
}
