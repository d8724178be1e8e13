package hooks

import (
	"context"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// handler returns an HTTP handler that calls serve. ctx is the context of the server.
func handler(ctx context.Context, engine *occupancy.Engine, serve func(context.Context, *occupancy.Engine, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { serve(ctx, engine, w, r) }
}

// handlers contains the handlers of "GET /ws/{room}" that send each message back to the client.
var handlers = map[string]func(*occupancy.Engine) http.Handler{
	"gorilla": func(engine *occupancy.Engine) http.Handler {
		return handler(context.Background(), engine, serveRoom)
	},
	"gorilla pumps": func(engine *occupancy.Engine) http.Handler {
		return handler(context.Background(), engine, servePumps)
	},
	"coder": func(engine *occupancy.Engine) http.Handler {
		return handler(context.Background(), engine, serveWebsocket)
	},
	"melody": func(engine *occupancy.Engine) http.Handler {
		_, h := newMelody(engine)
		return h
	},
}

func TestWebsocketHandlers_Disconnects(t *testing.T) {
	t.Parallel()
	for name, newHandler := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := newEngine(t)
			s := newServer(t, engine, "GET /ws/{room}", newHandler(engine))
			s.testDisconnects(t)
			s.testFlood(t)
			s.testSilentFromStart(t)
			s.testRefusesInvalidRoom(t)
			s.testRefusesLongMessage(t)

			c := s.dial(t, "lobby") // the server still handles messages
			c.send("hello")
			c.receive(t, "hello")
		})
	}
}

func TestWebsocketHandlers_PlainGETIsNotCounted(t *testing.T) {
	t.Parallel()
	for name, newHandler := range handlers {
		t.Run(name, func(t *testing.T) { testPlainGET(t, newHandler) })
	}
}

func TestMelody_CloseEndsAllLeases(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	m, h := newMelody(engine)
	s := newServer(t, engine, "GET /ws/{room}", h)
	for range 5 {
		s.dial(t, "lobby")
	}
	s.waitFor(t, "lobby", 5)
	require.NoError(t, m.Close())
	s.waitEmpty(t)
}

func newManyRooms(t *testing.T, engine *occupancy.Engine) *server {
	s := newServer(t, engine, "GET /ws", handler(context.Background(), engine, serveManyRooms))
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
	s.testRefusesInvalidRoom(t)
	s.testRefusesLongMessage(t)
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

// Canceling the context of the server disconnects all clients with a close frame.
func TestWebsocketHandlers_EndWithContext(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(context.Context, *occupancy.Engine, http.ResponseWriter, *http.Request){
		"gorilla": serveRoom, "gorilla pumps": servePumps, "gorilla pumps with events": servePumpsWithEvents,
		"many rooms": serveManyRooms, "coder": serveWebsocket,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			engine := newEngine(t)
			s := newServer(t, engine, "GET /ws/{room}", handler(ctx, engine, serve))
			clients := []*testClient{s.dial(t, "lobby"), s.dial(t, "lobby")}
			if name == "many rooms" {
				for _, c := range clients {
					c.send(`{"type":"join","room":"lobby"}`)
				}
			}
			s.waitFor(t, "lobby", len(clients))
			cancel()
			for _, c := range clients {
				c.waitClosed(t)
				require.Equal(t, stopping, c.err)
			}
			s.waitEmpty(t)
		})
	}
}

// stopping is the close frame that clients receive when the server stops.
var stopping = &websocket.CloseError{Code: websocket.CloseGoingAway, Text: "the server is stopping"}
