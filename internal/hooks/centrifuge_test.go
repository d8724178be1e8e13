package hooks

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func newCentrifugeServer(t *testing.T, engine *occupancy.Engine, aliveInterval time.Duration) (*centrifuge.Node, *server) {
	node, err := newCentrifuge(engine, centrifuge.Config{ClientPresenceUpdateInterval: aliveInterval})
	require.NoError(t, err)
	require.NoError(t, node.Run())
	t.Cleanup(func() { require.NoError(t, node.Shutdown(context.Background())) })
	ws := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: pongWait, PongTimeout: pongWait / 2},
	})
	s := newServer(t, engine, "GET /ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		alice := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: "alice"})
		ws.ServeHTTP(w, r.WithContext(alice))
	}))
	s.path = func(string) string { return "/ws" }
	s.join = func(t *testing.T, c *testClient, room string) {
		c.send(`{"id":1,"connect":{}}`)
		c.receive(t, `"id":1`)
		if room != "" {
			c.send(`{"id":2,"subscribe":{"channel":"` + room + `"}}`)
			c.receive(t, `"id":2`)
		}
	}
	s.pongs = map[string]string{"{}": "{}"}
	return node, s
}

func TestCentrifuge_Disconnects(t *testing.T) {
	t.Parallel()
	_, s := newCentrifugeServer(t, newEngine(t), time.Hour)
	s.testDisconnects(t)
}

func TestCentrifuge_SubscribeAndUnsubscribe(t *testing.T) {
	t.Parallel()
	node, s := newCentrifugeServer(t, newEngine(t), time.Hour)
	c := s.dial(t, "lobby")
	s.waitFor(t, "lobby", 1)
	c.send(`{"id":3,"subscribe":{"channel":"secret:plans"}}`)
	require.Contains(t, c.receive(t, `"id":3`), "permission denied", "the permission check of the server still works")
	c.send(`{"id":4,"subscribe":{"channel":"music"}}`)
	s.waitFor(t, "music", 1)
	s.waitFor(t, "secret:plans", 0)
	c.send(`{"id":5,"unsubscribe":{"channel":"lobby"}}`)
	s.waitFor(t, "lobby", 0)
	c.send(`{"id":6,"subscribe":{"channel":"lobby"}}`)
	s.waitFor(t, "lobby", 1)
	require.NoError(t, node.Unsubscribe("alice", "lobby"))
	s.waitFor(t, "lobby", 0)
	s.waitFor(t, "music", 1)
	require.NoError(t, node.Disconnect("alice"))
	s.waitEmpty(t)
}

func TestCentrifuge_ConnectReplySubscriptions(t *testing.T) {
	t.Parallel()
	_, s := newCentrifugeServer(t, newEngine(t), time.Hour)
	c := s.dial(t, "")
	s.waitFor(t, "user:alice", 1)
	c.closeFrame(t)
	s.waitEmpty(t)
}

func TestCentrifuge_NodeSubscribe(t *testing.T) {
	t.Parallel()
	node, s := newCentrifugeServer(t, newEngine(t), pingPeriod)
	one, two := s.dial(t, ""), s.dial(t, "")
	s.waitFor(t, "user:alice", 2)
	require.NoError(t, node.Subscribe("alice", "news"))
	s.waitFor(t, "news", 2)
	require.NoError(t, node.Unsubscribe("alice", "news"))
	s.waitFor(t, "news", 0)
	one.closeFrame(t)
	s.waitFor(t, "user:alice", 1)
	require.NoError(t, node.Subscribe("alice", "news"))
	s.waitFor(t, "news", 1)
	require.NoError(t, two.tcp.Close())
	s.waitEmpty(t)
}

// Clients subscribe and unsubscribe. At the same time the server subscribes and disconnects
// the clients.
func TestCentrifuge_ConcurrentCallbacks(t *testing.T) {
	t.Parallel()
	node, s := newCentrifugeServer(t, newEngine(t), pingPeriod)
	var clients, callers sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for i := range 30 {
				ws, _, err := websocket.DefaultDialer.Dial(s.url+"/ws", nil)
				if !assert.NoError(t, err) {
					return
				}
				for _, command := range []string{
					`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"lobby"}}`,
					`{"id":3,"unsubscribe":{"channel":"lobby"}}`, `{"id":4,"subscribe":{"channel":"lobby"}}`,
				} {
					_ = ws.WriteMessage(websocket.TextMessage, []byte(command)) // fails if the server has closed the connection
				}
				if i%2 == 0 {
					_, _, _ = ws.ReadMessage()
				}
				ws.Close()
			}
		})
	}
	done := make(chan struct{})
	for _, call := range []func() error{
		func() error { return node.Disconnect("alice") },
		func() error { return node.Subscribe("alice", "news") },
	} {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = call() // fails if a client disconnects at the same time
				}
			}
		})
	}
	clients.Wait()
	close(done)
	callers.Wait()
	require.Eventually(t, func() bool { return node.Hub().NumClients() == 0 }, timeout, time.Millisecond)
	s.waitEmpty(t)
}
