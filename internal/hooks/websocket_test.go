package hooks

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// handlers contains the handlers of "GET /ws/{room}" that send each message back to the client.
var handlers = map[string]func(*occupancy.Engine) http.Handler{
	"gorilla": func(engine *occupancy.Engine) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveRoom(engine, w, r) })
	},
	"gorilla pumps": func(engine *occupancy.Engine) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { servePumps(engine, w, r) })
	},
	"coder": func(engine *occupancy.Engine) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveWebsocket(engine, w, r) })
	},
	"melody": func(engine *occupancy.Engine) http.Handler {
		_, handler := newMelody(engine)
		return handler
	},
}

func TestWebsocketHandlers_Disconnects(t *testing.T) {
	t.Parallel()
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := newEngine(t)
			s := newServer(t, engine, "GET /ws/{room}", handler(engine))
			s.testDisconnects(t)
			s.testFlood(t)
			s.testInvalidRoom(t)

			c := s.dial(t, "lobby") // the server still handles messages
			c.send("hello")
			c.receive(t, "hello")
		})
	}
}

func TestWebsocketHandlers_PlainGETIsNotCounted(t *testing.T) {
	t.Parallel()
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) { testPlainGET(t, handler) })
	}
}

func TestMelody_CloseEndsAllLeases(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	m, handler := newMelody(engine)
	s := newServer(t, engine, "GET /ws/{room}", handler)
	for range 5 {
		s.dial(t, "lobby")
	}
	s.waitFor(t, "lobby", 5)
	require.NoError(t, m.Close())
	s.waitEmpty(t)
}

func newManyRooms(t *testing.T, engine *occupancy.Engine) *server {
	s := newServer(t, engine, "GET /ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveManyRooms(engine, w, r) }))
	s.path = func(string) string { return "/ws" }
	s.join = func(_ *testing.T, c *testClient, room string) {
		c.send(`{"type":"join","room":"` + room + `"}`)
		c.send(`{"type":"join","room":"` + room + `"}`) // has no effect
		c.send(`{"type":"join","room":"all"}`)
	}
	return s
}

func TestManyRooms_Disconnects(t *testing.T) {
	t.Parallel()
	s := newManyRooms(t, newEngine(t))
	s.testDisconnects(t)
	s.testInvalidRoom(t)
}

func TestManyRooms_JoinAndLeave(t *testing.T) {
	t.Parallel()
	s := newManyRooms(t, newEngine(t))
	c, other := s.dial(t, "lobby"), s.dial(t, "lobby")
	s.waitFor(t, "lobby", 2)
	s.waitFor(t, "all", 2)
	c.send(`{"type":"leave","room":"lobby"}`)
	c.send(`{"type":"leave","room":"lobby"}`)   // has no effect
	c.send(`{"type":"leave","room":"nowhere"}`) // has no effect: not joined
	s.waitFor(t, "lobby", 1)
	c.send(`{"type":"join","room":"lobby"}`)
	s.waitFor(t, "lobby", 2)
	c.closeFrame(t)
	s.waitFor(t, "lobby", 1)
	s.waitFor(t, "all", 1)
	other.closeFrame(t)
	s.waitEmpty(t)
}
