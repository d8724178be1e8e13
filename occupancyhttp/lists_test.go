package occupancyhttp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
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

		names, body := getList(t, h, "/rooms")
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
	if response := serve(h, http.MethodGet, "/rooms"); response.StatusCode != http.StatusNotFound {
		t.Error(response.Status)
	}
	if response := serve(h, http.MethodGet, "/rooms/events"); response.Header.Get("Content-Type") == "text/event-stream" {
		t.Error("a room named events must have a path of its own")
	}
}

func TestLists_InvalidQueries(t *testing.T) {
	e := newEngine(t)
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
	for query, code := range map[string]string{"by=size": "bad_order", "limit=0": "bad_limit", "limit=101": "bad_limit", "limit=ten": "bad_limit"} {
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
	if response := serve(h, http.MethodGet, "/rooms"); response.StatusCode != http.StatusServiceUnavailable {
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
		for _, room := range change.Changed {
			text += fmt.Sprintf(" %d=%s(%d)", room.Place, room.Name, room.Occupancy.Connections)
		}
		return text
	}
}

func TestLists_StreamSendsDifferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		join(t, e, "a", 5)
		join(t, e, "b", 3)
		join(t, e, "c", 1)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
		stream := newTestServer(t, h).openStream("/rooms/events?by=popular&limit=3")
		for _, step := range []struct {
			change func()
			want   string
		}{
			{func() {}, "3 of 3: 0=a(5) 1=b(3) 2=c(1)"},
			{func() { join(t, e, "c", 1) }, "3 of 3: 2=c(2)"},
			{func() { join(t, e, "c", 2) }, "3 of 3: 1=c(4) 2=b(3)"},
			{func() { join(t, e, "d", 10) }, "3 of 4: 0=d(10) 1=a(5) 2=c(4)"},
			{func() {
				for range 10 {
					must(t, e.Leave("d"))
				}
				for range 3 {
					must(t, e.Leave("b"))
				}
			}, "2 of 2: 0=a(5) 1=c(4)"},
		} {
			step.change()
			time.Sleep(2 * time.Second) // Total may lag
			if got := nextChange(t, stream); got != step.want {
				t.Errorf("got  %s\nwant %s", got, step.want)
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
		if names, _ := getList(t, h, "/rooms"); !slices.Equal(names, []string{"lobby", "garden"}) {
			t.Error(names)
		}
		stream := newTestServer(t, h).openStream("/rooms/events")
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

func TestLists_StreamEndsWithEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithLists(newBoard(t, e)))
		stream := newTestServer(t, h).openStream("/rooms/events")
		if got := nextChange(t, stream); got != "0 of 0:" {
			t.Error(got)
		}
		must(t, e.Close())
		stream.readToEnd()
	})
}
