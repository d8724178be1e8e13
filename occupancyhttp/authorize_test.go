package occupancyhttp_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestAuthorize_DenialRevealsNothing(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("secret"))
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
		if got := e.Stats().Watchers; got != 0 {
			t.Errorf("the engine was watched before access to %s was checked", room)
		}
		return errors.New("the secret reason")
	}))
	refusal := func(path string) string {
		resp := serve(h, http.MethodGet, path)
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, resp.Status)
		}
		f := decodeError(t, resp)
		return fmt.Sprint(resp.Header, f.Error.Code, f.Error.Message)
	}
	for _, form := range []string{"/rooms/%s", "/rooms/%s?fresh=1", "/?room=%s", "/events?room=%s", "/events?room=a&room=b&room=%s&room=c"} {
		existing, unknown := refusal(fmt.Sprintf(form, "secret")), refusal(fmt.Sprintf(form, "nothing"))
		if existing != unknown {
			t.Errorf("%s: existing room: %s\nunknown room: %s", form, existing, unknown)
		}
		if strings.Contains(existing, "secret") {
			t.Errorf("%s: %s", form, existing)
		}
	}
	if got := h.Stats(); got.Opened != 0 || got.Refused["forbidden"] != 4 {
		t.Errorf("%+v after only refused requests", got)
	}
}

// A stream of 50 refused rooms and one allowed room needs one request.
func TestStream_ReportsRefusedRoomsAndContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("lobby"))
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
			switch {
			case room == "private":
				return occupancyhttp.ErrUnauthorized
			case room != "lobby":
				return errors.New("the secret reason")
			}
			return nil
		}))
		s := newTestServer(t, h)
		stream := s.openStream(roomsQuery(48) + "&room=lobby&room=private&room=")
		codes := map[string]int{}
		for range 50 {
			n := stream.nextEvent()
			if n.event != "occupancy.refused" || n.Message == "" || strings.Contains(n.Message, "secret") {
				t.Errorf("%+v", n)
			}
			if n.Code != "forbidden" {
				codes[n.Room+" "+n.Code] = n.Status
			} else {
				codes[n.Code] += n.Status
			}
		}
		if want := map[string]int{"forbidden": 48 * 403, "private unauthorized": 401, " bad_room_name": 400}; !maps.Equal(codes, want) {
			t.Errorf("%v, want %v", codes, want)
		}
		stream.readUntil(1)
		must(t, e.Join("lobby"))
		stream.readUntil(2)
		if got := h.Stats(); got.Rooms != 1 {
			t.Errorf("%+v", got)
		}
		stream.close()
	})
}

// The data of a refused room is exactly the documented JSON.
func TestStream_RefusedData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorizeRooms(func(_ *http.Request, rooms []string) ([]string, error) {
			return rooms[:1], nil
		}))
		stream := newTestServer(t, h).openStream("/events?room=a&room=b")
		var frames []string
		for range 3 {
			frame, err := stream.nextFrame()
			must(t, err)
			frames = append(frames, frame)
		}
		if want := "event: occupancy.refused\ndata: {\"room\":\"b\",\"status\":403,\"code\":\"forbidden\",\"message\":\"access to this room is denied\"}\n\n"; frames[1] != want {
			t.Errorf("%q, want %q", frames[1], want)
		}
		stream.close()
	})
}

func TestAuthorizeRooms_OneCallForAllRooms(t *testing.T) {
	var calls [][]string
	var allowed []string
	var err error
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorizeRooms(func(_ *http.Request, rooms []string) ([]string, error) {
		calls = append(calls, rooms)
		return allowed, err
	}))
	for _, test := range []struct {
		allowed []string
		err     error
		status  int
		code    string
	}{
		{[]string{"b", "other"}, nil, 200, ""},
		{nil, nil, 403, "forbidden"},
		{[]string{"a", "b"}, errors.New("no database"), 403, "forbidden"},
		{[]string{"a", "b"}, fmt.Errorf("no cookie: %w", occupancyhttp.ErrUnauthorized), 401, "unauthorized"},
	} {
		calls, allowed, err = nil, test.allowed, test.err
		resp := serve(h, http.MethodGet, "/?room=a&room=b&room=a&room=")
		if resp.StatusCode != test.status {
			t.Errorf("%v %v: %s", test.allowed, test.err, resp.Status)
		}
		body, _ := io.ReadAll(resp.Body)
		if want := `{"rooms":{"b":{"connections":0,"presenceMembers":0}},"refused":{"":"bad_room_name","a":"forbidden"}}`; test.status == 200 && string(body) != want {
			t.Errorf("%s, want %s", body, want)
		}
		if !strings.Contains(string(body), test.code) {
			t.Errorf("%s, want %s", body, test.code)
		}
		if got := fmt.Sprint(calls); got != "[[a b]]" {
			t.Errorf("called with %s", got)
		}
	}
}

func TestAuthorize_CalledOncePerRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var calls []string
		s := newTestServer(t, occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
			calls = append(calls, r.URL.Query().Get("user")+" "+room)
			return nil
		})))
		stream := s.openStream("/events?user=alice&room=a&room=b&room=a")
		stream.nextEvent()
		if got := fmt.Sprint(calls); got != "[alice a alice b]" {
			t.Errorf("authorize called for %s", got)
		}
		stream.close()
	})
}

func TestAuthorize_Unauthorized(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(*http.Request, string) error {
		return fmt.Errorf("no cookie: %w", occupancyhttp.ErrUnauthorized)
	}))
	for _, path := range []string{"/rooms/lobby", "/?room=lobby", "/events?room=lobby"} {
		resp := serve(h, http.MethodGet, path)
		if f := decodeError(t, resp); resp.StatusCode != http.StatusUnauthorized || f.Error.Code != "unauthorized" || strings.Contains(f.Error.Message, "cookie") {
			t.Errorf("%s: %s %+v", path, resp.Status, f)
		}
	}
}

func TestAuthorize_NoStreamRemainsAfterPanic(t *testing.T) {
	e := newEngine(t)
	panics := true
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(1), occupancyhttp.WithAuthorize(func(*http.Request, string) error {
		if panics {
			panic(http.ErrAbortHandler)
		}
		return nil
	}))
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the handler recovered the panic")
				}
			}()
			serve(h, http.MethodGet, "/events?room=a&room=b")
		}()
	}
	wantNoStreams(t, e, h)
	panics = false
	stream := newTestServer(t, h).openStream("/events?room=a&room=b")
	stream.nextEvent()
	stream.close()
}

// An invalid query is refused before the authorize function is called.
func TestAuthorize_NotCalledForInvalidQuery(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		t.Errorf("authorize called for %q", room)
		return errors.New("no")
	}))
	for _, query := range []string{"room=", "room=%ff", "room=secret&room=%zz", roomsQuery(257)[len("/events?"):]} {
		if resp := serve(h, http.MethodGet, "/events?"+query); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.40s: %s", query, resp.Status)
		}
	}
}

// streamOf opens a stream for a user.
func (s *testServer) streamOf(user, path string) *streamReader {
	s.Helper()
	return s.openStream(path, "User", user)
}

func TestRevoke_EndsAccessOfOneUser(t *testing.T) {
	bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e)
		s := newTestServer(t, h, configure)
		banned := s.streamOf("mallory", "/events?room=a&room=lobby")
		onlyLobby := s.streamOf("mallory", "/events?room=lobby")
		other := s.streamOf("alice", "/events?room=lobby")
		for range 2 {
			banned.nextEvent()
		}
		onlyLobby.nextEvent()
		other.nextEvent()
		synctest.Wait()
		h.Revoke(func(r *http.Request, room string) bool { return r.Header.Get("User") == "mallory" && room == "lobby" })
		must(t, e.Join("lobby"))
		must(t, e.Join("a"))
		if n := banned.nextEvent(); n.event != "occupancy.refused" || n.Room != "lobby" || n.Code != "forbidden" || n.Status != 403 {
			t.Errorf("%+v", n)
		}
		if n := banned.nextEvent(); n.Room != "a" || n.Occupancy.Connections != 1 {
			t.Errorf("%+v", n)
		}
		if rest := onlyLobby.readToEnd(); !strings.HasPrefix(rest, "event: occupancy.refused\n") || strings.Contains(rest, "occupancy.updated") {
			t.Errorf("the stream ended with %q", rest)
		}
		other.readUntil(1)
		if got := h.Stats(); got.Streams != 2 || got.Rooms != 2 {
			t.Errorf("%+v", got)
		}
		h.Revoke(func(_ *http.Request, room string) bool {
			if room == "" {
				t.Error("called for a room that is already refused")
			}
			return false
		})
		banned.close()
		other.close()
		synctest.Wait()
		wantNoStreams(t, e, h)
	})
}

// A user is banned after the stream was authorized and before it is open.
func TestRevoke_StreamThatIsOpening(t *testing.T) {
	for _, path := range []string{"/events?room=lobby", "/events?room=lobby&room=a"} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			banned := false
			var h *occupancyhttp.Handler
			h = occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorizeRooms(func(_ *http.Request, rooms []string) ([]string, error) {
				if banned {
					return []string{"a"}, nil
				}
				banned = true
				h.Revoke(func(_ *http.Request, room string) bool { return room == "lobby" })
				return rooms, nil
			}))
			s := newTestServer(t, h)
			if path == "/events?room=lobby" {
				if resp, body := s.get(http.MethodGet, path); resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s %s", resp.Status, body)
				}
				return
			}
			stream := s.openStream(path)
			if n := stream.nextEvent(); n.event != "occupancy.refused" || n.Room != "lobby" {
				t.Errorf("%+v", n)
			}
			if n := stream.nextEvent(); n.event != "occupancy.updated" || n.Room != "a" {
				t.Errorf("%+v", n)
			}
			stream.close()
		})
	}
}

func TestReauthorize_EndsAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var expired atomic.Bool
		h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithReauthorize(time.Minute),
			occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
				if expired.Load() && room != "public" {
					return occupancyhttp.ErrUnauthorized
				}
				return nil
			}))
		s := newTestServer(t, h)
		stream := s.openStream("/events?room=public&room=lobby")
		for range 2 {
			stream.nextEvent()
		}
		private := s.openStream("/events?room=lobby")
		private.nextEvent()
		var start time.Time
		time.AfterFunc(2*time.Minute+time.Second, func() { // after two checks that refuse nothing
			start = time.Now()
			expired.Store(true)
		})
		ended := make(chan string)
		go func() { ended <- private.readToEnd() }()
		if n := stream.nextEvent(); n.event != "occupancy.refused" || n.Room != "lobby" || n.Status != 401 || n.Code != "unauthorized" {
			t.Errorf("%+v", n)
		}
		if rest := <-ended; !strings.Contains(rest, "event: occupancy.refused\n") {
			t.Errorf("the stream ended with %q", rest)
		}
		if took := time.Since(start); start.IsZero() || took > time.Minute {
			t.Errorf("access ended %v after it expired", took)
		}
		stream.close()
	})
}

// A refused room is reported once, however often access is checked and revoked afterwards.
func TestRefusedRoom_ReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var expired atomic.Bool
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithReauthorize(time.Minute), occupancyhttp.WithHeartbeat(0), occupancyhttp.WithStreamLifetime(0),
			occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
				if expired.Load() && room == "secret" {
					return errors.New("expired")
				}
				return nil
			}))
		stream := newTestServer(t, h).openStream("/events?room=secret&room=lobby")
		for range 2 {
			stream.nextEvent()
		}
		expired.Store(true)
		if n := stream.nextEvent(); n.event != "occupancy.refused" || n.Room != "secret" {
			t.Errorf("%+v", n)
		}
		for range 2 {
			h.Revoke(func(_ *http.Request, room string) bool { return room == "secret" })
			time.Sleep(2 * time.Minute)
		}
		must(t, e.Join("secret"))
		time.Sleep(time.Minute)
		must(t, e.Join("lobby"))
		if n := stream.nextEvent(); n.event != "occupancy.updated" || n.Room != "lobby" {
			t.Errorf("%+v", n)
		}
		stream.close()
	})
}
