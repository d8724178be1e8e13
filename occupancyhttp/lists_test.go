package occupancyhttp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
	"github.com/occupancy/occupancy/trending"
)

// newBoard returns a board of e.
func newBoard(t *testing.T, e *occupancy.Engine) *trending.Board {
	t.Helper()
	board := trending.New(e)
	t.Cleanup(func() { must(t, board.Close()) })
	return board
}

func join(t *testing.T, e *occupancy.Engine, room string, n int) {
	t.Helper()
	for range n {
		must(t, e.Join(room))
	}
}

type listBody struct {
	Rooms []trending.Room
	Total struct{ Rooms, Connections, PresenceMembers int }
}

func getList(t *testing.T, h http.Handler, target string) (names []string, body listBody) {
	t.Helper()
	response := serve(h, http.MethodGet, target)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", target, response.Status)
	}
	must(t, json.NewDecoder(response.Body).Decode(&body))
	for _, room := range body.Rooms {
		names = append(names, room.Name)
	}
	return names, body
}

func TestLists_PopularAndTrending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "old", 50)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
		time.Sleep(time.Hour)
		join(t, e, "new", 20)
		time.Sleep(2 * time.Second)

		names, body := getList(t, h, "/rooms?by=popular")
		if !slices.Equal(names, []string{"old", "new"}) || body.Rooms[0].Occupancy.Connections != 50 {
			t.Errorf("%+v", body)
		}
		if body.Total.Rooms != 2 || body.Total.Connections != 70 {
			t.Errorf("total %+v", body.Total)
		}
		if names, _ := getList(t, h, "/rooms?by=popular&limit=1"); !slices.Equal(names, []string{"old"}) {
			t.Error(names)
		}
		if names, body := getList(t, h, "/rooms?by=trending"); !slices.Equal(names, []string{"new"}) || body.Rooms[0].Arrivals < 19 {
			t.Errorf("%+v", body)
		}
	})
}

func TestLists_OffUnlessEnabled(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e)
	if response := serve(h, http.MethodGet, "/rooms?by=popular"); response.StatusCode != http.StatusNotFound {
		t.Error(response.Status)
	}
	if response := serve(h, http.MethodGet, "/rooms/events?by=popular"); response.Header.Get("Content-Type") == "text/event-stream" {
		t.Error("a room named events must have a path of its own")
	}
	for _, path := range []string{"/?by=popular", "/events?by=popular", "/events?room=lobby&by=popular"} {
		response := serve(h, http.MethodGet, path)
		if got := decodeError(t, response).Error.Code; response.StatusCode != http.StatusNotFound || got != "no_lists" {
			t.Errorf("%s: %s, %s", path, response.Status, got)
		}
	}
}

func TestLists_InvalidQueries(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
	for query, code := range map[string]string{"by=size": "bad_order", "": "no_room", "by=popular&limit=0": "bad_limit", "by=popular&limit=101": "bad_limit", "by=popular&limit=ten": "bad_limit", strings.Repeat("by=popular&", 9): "too_many_lists"} {
		for _, path := range []string{"/rooms?", "/rooms/events?"} {
			response := serve(h, http.MethodGet, path+query)
			if got := decodeError(t, response).Error.Code; response.StatusCode != http.StatusBadRequest || got != code {
				t.Errorf("%s%s: %s, %s", path, query, response.Status, got)
			}
		}
	}
	if got := h.Stats().Refused["bad_limit"]; got != 3 {
		t.Errorf("%d streams refused", got)
	}
}

func TestLists_ClosedEngine(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
	must(t, e.Close())
	if response := serve(h, http.MethodGet, "/rooms?by=popular"); response.StatusCode != http.StatusServiceUnavailable {
		t.Error(response.Status)
	}
}

// nextChange returns the rooms of the next event of a list with their places, and the length.
func nextChange(t *testing.T, stream *streamReader) string {
	t.Helper()
	for {
		frame, err := stream.nextFrame()
		must(t, err)
		if !strings.HasPrefix(frame, "event: occupancy.list\n") {
			continue
		}
		_, data, _ := strings.Cut(frame, "\ndata: ")
		var change struct {
			By      string
			Limit   int
			Length  int
			Changed []struct {
				Place     int
				Name      string
				Occupancy occupancy.Occupancy
			}
			Total struct{ Rooms int }
		}
		must(t, json.Unmarshal([]byte(data), &change))
		text := fmt.Sprintf("%d of %d:", change.Length, change.Total.Rooms)
		if change.By != "popular" || change.Limit != 10 {
			text = fmt.Sprintf("%s %d: %s", change.By, change.Limit, text)
		}
		for _, room := range change.Changed {
			text += fmt.Sprintf(" %d=%s(%d)", room.Place, room.Name, room.Occupancy.Connections)
		}
		return text
	}
}

func TestLists_StreamSendsDifferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		link, err := e.Link(nil)
		must(t, err)
		node := link.Remote("other")
		set := func(room string, connections int) func() {
			return func() {
				must(t, node.Set(occupancy.Part{Room: room, Occupancy: occupancy.Occupancy{Connections: connections}}))
			}
		}
		set("a", 5)()
		set("b", 3)()
		set("c", 1)()
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
		time.Sleep(time.Second)
		stream := newTestServer(t, h).openStream("/rooms/events?by=popular&limit=3")
		for _, step := range []struct {
			change func()
			want   string
		}{
			{func() {}, "3 of 3: 0=a(5) 1=b(3) 2=c(1)"},
			{set("c", 2), "3 of 3: 2=c(2)"},
			{set("c", 4), "3 of 3: 1=c(4) 2=b(3)"},
			{set("d", 10), "3 of 4: 0=d(10) 1=a(5) 2=c(4)"},
			{set("a", 0), "3 of 3: 1=c(4) 2=b(3)"},
			{set("d", 0), "2 of 2: 0=c(4) 1=b(3)"},
		} {
			step.change()
			time.Sleep(2 * time.Second) // Total may lag
			got := nextChange(t, stream)
			for !strings.Contains(got, "=") { // only the totals have changed
				got = nextChange(t, stream)
			}
			if got != "popular 3: "+step.want {
				t.Errorf("got  %s\nwant popular 3: %s", got, step.want)
			}
		}
		if got := h.Stats(); got.Streams != 1 || got.Opened != 1 {
			t.Errorf("%+v", got)
		}
		stream.close()
		synctest.Wait()
		if got := h.Stats(); got.Streams != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestLists_OnlyRoomsThatTheRequestMayRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "secret", 9)
		join(t, e, "lobby", 3)
		join(t, e, "garden", 2)
		var closed atomic.Bool // the garden
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
			if room == "secret" || room == "garden" && closed.Load() {
				return errors.New("no access")
			}
			return nil
		}))
		if names, _ := getList(t, h, "/rooms?by=popular"); !slices.Equal(names, []string{"lobby", "garden"}) {
			t.Error(names)
		}
		stream := newTestServer(t, h).openStream("/rooms/events?by=popular")
		if got, want := nextChange(t, stream), "2 of 3: 0=lobby(3) 1=garden(2)"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		closed.Store(true)
		join(t, e, "lobby", 1)
		time.Sleep(2 * time.Second)
		if got, want := nextChange(t, stream), "1 of 3: 0=lobby(4)"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// authorizedBoard returns a handler with lists, whose rooms can be closed while it runs.
// After unavailable(true), access cannot be checked. unavailable returns how often a check
// has failed since its last call.
func authorizedBoard(t *testing.T, e *occupancy.Engine, opts ...occupancyhttp.Option) (h *occupancyhttp.Handler, closed *sync.Map, unavailable func(bool) (failed int64)) {
	closed = &sync.Map{}
	var isUnavailable atomic.Bool
	var failed atomic.Int64
	unavailable = func(is bool) int64 {
		isUnavailable.Store(is)
		return failed.Swap(0)
	}
	opts = append(opts, occupancyhttp.WithLists(newBoard(t, e)), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		if isUnavailable.Load() {
			failed.Add(1)
			return fmt.Errorf("no database: %w", occupancyhttp.ErrUnavailable)
		}
		if _, ok := closed.Load(room); ok {
			return errors.New("no access")
		}
		return nil
	}))
	return occupancyhttp.NewHandler(e, opts...), closed, unavailable
}

// The lists of an open stream lose a room although no count changes.
func TestLists_AccessEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "lobby", 3)
		join(t, e, "garden", 2)
		join(t, e, "attic", 1)
		h, closed, _ := authorizedBoard(t, e, occupancyhttp.WithReauthorize(time.Minute))
		stream := newTestServer(t, h).openStream("/rooms/events?by=popular")
		if got, want := nextChange(t, stream), "3 of 3: 0=lobby(3) 1=garden(2) 2=attic(1)"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		synctest.Wait()
		start := time.Now()
		closed.Store("garden", true)
		h.Revoke(func(_ *http.Request, room string) bool { return room == "garden" })
		if got, want := nextChange(t, stream), "2 of 3: 1=attic(1)"; got != want || time.Since(start) > 0 {
			t.Errorf("got %s after %v, want %s", got, time.Since(start), want)
		}
		closed.Store("lobby", true)
		if got, want := nextChange(t, stream), "1 of 3: 0=attic(1)"; got != want || time.Since(start) > time.Minute {
			t.Errorf("got %s after %v, want %s", got, time.Since(start), want)
		}
		closed.Store("attic", true)
		if got, want := nextChange(t, stream), "0 of 3:"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// While access cannot be checked, requests are answered with a temporary error, and open
// streams do not change.
func TestLists_AccessUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "lobby", 3)
		h, _, unavailable := authorizedBoard(t, e, occupancyhttp.WithReauthorize(time.Minute), occupancyhttp.WithHeartbeat(0), occupancyhttp.WithStreamLifetime(0))
		s := newTestServer(t, h)
		stream := s.openStream("/rooms/events?by=popular")
		nextChange(t, stream)
		room := s.openStream("/events?room=lobby")
		room.readUntil(3)
		unavailable(true)
		for _, path := range []string{"/rooms?by=popular", "/rooms/events?by=popular", "/?by=popular", "/events?by=popular", "/rooms/lobby", "/events?room=lobby", "/?room=lobby&room="} {
			response := serve(h, http.MethodGet, path)
			if got := decodeError(t, response).Error.Code; response.StatusCode != http.StatusServiceUnavailable || got != "unavailable" || response.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %s %s", path, response.Status, got)
			}
		}
		join(t, e, "lobby", 1)
		room.readUntil(4)
		room.close()
		unavailable(true)
		for range 600 {
			join(t, e, "lobby", 1)
			time.Sleep(time.Second)
		}
		start := time.Now()
		if failed := unavailable(false); failed < 100 || failed > 125 {
			t.Errorf("access was checked %d times in ten minutes, want every five seconds", failed)
		}
		if got, want := nextChange(t, stream), "1 of 1: 0=lobby(604)"; got != want || time.Since(start) > 5*time.Second {
			t.Errorf("got %s after %v, want %s", got, time.Since(start), want)
		}
	})
}

func TestLists_StreamReportsStaleCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)), occupancyhttp.WithHealth(func() []string { return []string{"bus disconnected"} }))
		stream := newTestServer(t, h).openStream("/rooms/events?by=popular")
		for {
			frame, err := stream.nextFrame()
			must(t, err)
			if frame == "event: occupancy.stale\ndata: {\"stale\":true,\"reasons\":[\"bus disconnected\"]}\n\n" {
				return
			}
		}
	})
}

// The totals contain rooms that are not in the list.
func TestLists_StreamSendsTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "lobby", 3)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)), occupancyhttp.WithHeartbeat(0))
		stream := newTestServer(t, h).openStream("/rooms/events?by=popular&limit=1")
		if got, want := nextChange(t, stream), "popular 1: 1 of 1: 0=lobby(3)"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		time.Sleep(time.Minute) // no further events: the next one follows from the change
		start := time.Now()
		join(t, e, "garden", 1)
		if got, want := nextChange(t, stream), "popular 1: 1 of 2:"; got != want || time.Since(start) > 3*time.Second {
			t.Errorf("got %s after %v, want %s", got, time.Since(start), want)
		}
	})
}

// A stream can have rooms and several lists.
func TestLists_OnStreamOfRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "lobby", 3)
		h, closed, _ := authorizedBoard(t, e)
		closed.Store("secret", true)
		s := newTestServer(t, h)
		stream := s.openStream("/events?room=lobby&room=secret&by=trending&limit=5&by=popular")
		var got []string
		for range 4 {
			event := stream.nextEvent()
			got = append(got, event.event+" "+event.Room)
		}
		if want := []string{"occupancy.refused secret", "occupancy.list ", "occupancy.list ", "occupancy.updated lobby"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		h.Revoke(func(_ *http.Request, room string) bool { return room == "lobby" })
		if n := stream.nextEvent(); n.event != "occupancy.refused" || n.Room != "lobby" {
			t.Errorf("%+v", n)
		}
		link, err := e.Link(nil)
		must(t, err)
		must(t, link.Remote("other").Set(occupancy.Part{Room: "garden", Occupancy: occupancy.Occupancy{Connections: 4}}))
		for got != nil { // the stream still has its lists
			switch change := nextChange(t, stream); {
			case change == "2 of 2: 0=garden(4) 1=lobby(3)":
				got = nil
			case strings.Contains(change, "="):
				t.Fatal(change)
			}
		}
		stream.close()
		refused := s.openStream("/events?room=secret&by=popular")
		if n := refused.nextEvent(); n.event != "occupancy.refused" {
			t.Errorf("%+v", n)
		}
		if got, want := nextChange(t, refused), "2 of 2: 0=garden(4) 1=lobby(3)"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		refused.close()
		synctest.Wait()
		if got := h.Stats(); got.Streams != 0 || got.Rooms != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestLists_JSONOfRoomsAndLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "lobby", 3)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
		time.Sleep(2 * time.Second)
		body, _ := io.ReadAll(serve(h, http.MethodGet, "/?room=lobby&by=popular&limit=1").Body)
		want := `{"rooms":{"lobby":{"connections":3,"presenceMembers":0}},"lists":[{"by":"popular","limit":1,` +
			`"rooms":[{"name":"lobby","occupancy":{"connections":3,"presenceMembers":0},"arrivals":0,"usual":3,"ratio":0}],` +
			`"total":{"rooms":1,"connections":3,"presenceMembers":0}}]}`
		if string(body) != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
	})
}

func TestLists_StreamEndsWithEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
		stream := newTestServer(t, h).openStream("/rooms/events?by=popular")
		if got := nextChange(t, stream); got != "0 of 0:" {
			t.Error(got)
		}
		must(t, e.Close())
		stream.readToEnd()
	})
}

// A stream of rooms and lists ends after the last event of its rooms.
func TestLists_LastEventOfClosedEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(time.Hour))
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
		stream := newTestServer(t, h).openStream("/events?room=lobby&by=popular&by=trending")
		for range 3 {
			stream.nextEvent()
		}
		for range 3 { // only the first change is published immediately
			join(t, e, "lobby", 1)
			synctest.Wait()
		}
		must(t, e.Close())
		last := ""
		for frame := range strings.SplitSeq(stream.readToEnd(), "\n\n") {
			if strings.HasPrefix(frame, "event: occupancy.updated\n") {
				last = frame
			}
		}
		if !strings.Contains(last, `"connections":3`) {
			t.Errorf("the last event is %q", last)
		}
	})
}
