package hooks

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// The handlers send each message back. The client sends messages until the server closes
// the connection or a write blocks, reads nothing, and then resets the connection.
func TestPumps_FloodThenReset(t *testing.T) {
	for name, serve := range map[string]func(context.Context, *occupancy.Engine, http.ResponseWriter, *http.Request){
		"without events": servePumps, "with events": servePumpsWithEvents,
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			t.Run("server", func(t *testing.T) {
				engine := newEngine(t)
				s := newServer(t, engine, "GET /ws/{room}", handler(context.Background(), engine, serve))
				ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), s.url+s.path("lobby"), nil)
				require.NoError(t, err)
				s.waitFor(t, "lobby", 1)
				require.NoError(t, ws.SetWriteDeadline(time.Now().Add(writeWait)))
				message := []byte(strings.Repeat("x", 4000))
				for err == nil {
					err = ws.WriteMessage(websocket.TextMessage, message)
				}
				disconnects["RST"](t, &testClient{ws: ws, tcp: tcpConn(ws)})
				s.waitEmpty(t)
			})
			require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, timeout, time.Millisecond) // Eventually runs one goroutine
		})
	}
}

// eventJSON returns the JSON of an event that the server writes.
func eventJSON(connections int) string {
	return fmt.Sprintf(`{"type":"occupancy.updated","occupancy":{"connections":%d,"presenceMembers":0}}`+"\n", connections)
}

// After engine.Close the pumps return, and the client has received only events of the room.
func TestPumpsWithEvents_EngineClose(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	s := newServer(t, engine, "GET /ws/{room}", handler(context.Background(), engine, servePumpsWithEvents))
	one := s.dial(t, "lobby")
	one.receive(t, `"connections":1`)
	two := s.dial(t, "lobby")
	one.receive(t, `"connections":2`)
	require.NoError(t, engine.Close())
	for _, c := range []*testClient{one, two} {
		c.waitClosed(t)
		for len(c.messages) > 0 {
			require.Contains(t, []string{eventJSON(1), eventJSON(2)}, <-c.messages)
		}
	}
}

func TestPumpsWithEvents_SendsEventsAndMessages(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	s := newServer(t, engine, "GET /ws/{room}", handler(context.Background(), engine, servePumpsWithEvents))
	c := s.dial(t, "lobby")
	require.Equal(t, eventJSON(1), c.receive(t, ""))
	c.send("hello")
	require.Equal(t, "hello", c.receive(t, ""))
	c.closeFrame(t)
	s.waitEmpty(t)

	s.testRefusesInvalidRoom(t)
	s.testSubscriptions(t)
}
