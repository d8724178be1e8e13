package occupancyhttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestAuthorize_DenialRevealsNothing(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("secret"))
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
		if got := e.Stats().Subscriptions; got != 0 {
			t.Errorf("%d subscriptions before access to %s was checked", got, room)
		}
		switch room {
		case "secret", "nothing":
			return errors.New("the secret reason")
		}
		return nil
	}))
	refusal := func(path string) string {
		resp := serve(h, http.MethodGet, path)
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, resp.Status)
		}
		f := decodeError(t, resp)
		return fmt.Sprint(resp.Header, f.Error.Code, f.Error.Message)
	}
	for _, form := range []string{
		"/rooms/%s/occupancy", "/rooms/%s/occupancy/events", "/occupancy/events?room=%s", "/occupancy/events?room=a&room=b&room=%s&room=c",
	} {
		existing, unknown := refusal(fmt.Sprintf(form, "secret")), refusal(fmt.Sprintf(form, "nothing"))
		if existing != unknown {
			t.Errorf("%s: existing room: %s\nunknown room: %s", form, existing, unknown)
		}
		if strings.Contains(existing, "secret") {
			t.Errorf("%s: %s", form, existing)
		}
	}
	if f := decodeError(t, serve(h, http.MethodGet, "/occupancy/events?room=a&room=secret")); f.Error.Room != "secret" {
		t.Errorf("the error names room %q", f.Error.Room)
	}
	if e.Stats().Rooms != 1 || e.Stats().Subscriptions != 0 {
		t.Errorf("%+v after only refused requests", e.Stats())
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
		stream := s.openStream("/occupancy/events?user=alice&room=a&room=b&room=a")
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
	for _, path := range []string{"/rooms/lobby/occupancy", "/rooms/lobby/occupancy/events", "/occupancy/events?room=lobby"} {
		resp := serve(h, http.MethodGet, path)
		if f := decodeError(t, resp); resp.StatusCode != http.StatusUnauthorized || f.Error.Code != "unauthorized" || strings.Contains(f.Error.Message, "cookie") {
			t.Errorf("%s: %s %+v", path, resp.Status, f)
		}
	}
}

// If some of the rooms are allowed, a 401 names the denied room, so that the client can
// retry without this room. If no room is allowed, the client has to authenticate first.
func TestAuthorize_401NamesRoomIfSomeRoomIsAllowed(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		switch room {
		case "public":
			return nil
		case "private":
			return occupancyhttp.ErrUnauthorized
		}
		return errors.New("denied")
	}))
	for query, want := range map[string]struct {
		status int
		room   string
	}{
		"room=private":                         {401, ""},
		"room=private&room=hidden":             {401, ""},
		"room=private&room=public":             {401, "private"},
		"room=public&room=private":             {401, "private"},
		"room=public&room=hidden&room=private": {403, "hidden"},
		"room=hidden":                          {403, "hidden"},
		"room=hidden&room=private":             {403, "hidden"},
	} {
		resp := serve(h, http.MethodGet, "/occupancy/events?"+query)
		if f := decodeError(t, resp); resp.StatusCode != want.status || f.Error.Room != want.room {
			t.Errorf("%s: %s, room %q, want %d, %q", query, resp.Status, f.Error.Room, want.status, want.room)
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
			serve(h, http.MethodGet, "/occupancy/events?room=a&room=b")
		}()
	}
	if got := e.Stats(); got.Rooms != 0 || got.Subscriptions != 0 {
		t.Errorf("%+v", got)
	}
	panics = false
	stream := newTestServer(t, h).openStream("/occupancy/events?room=a&room=b")
	stream.nextEvent()
	stream.close()
}

// An invalid query is refused before the authorize function is called, so the response
// does not reveal which rooms are denied.
func TestAuthorize_NotCalledForInvalidQuery(t *testing.T) {
	h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		t.Errorf("authorize called for %q", room)
		return errors.New("no")
	}))
	for _, query := range []string{"room=secret&room=", "room=&room=secret", "room=secret&room=%ff", "room=secret&room=%zz", roomsQuery(257)[len("/occupancy/events?"):]} {
		if resp := serve(h, http.MethodGet, "/occupancy/events?"+query); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.40s: %s", query, resp.Status)
		}
	}
}
