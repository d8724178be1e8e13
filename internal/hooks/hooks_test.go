package hooks_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/internal/hooks"
)

// Each test has an engine, which counts; a client of coder/websocket will do for all,
// since a server cannot tell who wrote its client.

func TestGorilla(t *testing.T) {
	engine := newEngine(t)
	countsWebsockets(t, engine, hooks.Gorilla(engine))
}

func TestCoder(t *testing.T) {
	engine := newEngine(t)
	countsWebsockets(t, engine, hooks.Coder(engine))
}

func countsWebsockets(t *testing.T, engine *occupancy.Engine, handler http.Handler) {
	mux := http.NewServeMux()
	mux.Handle("GET /ws/{room}", handler)
	url := serve(t, mux) + "/ws/lobby"

	polite, rude := dial(t, url), dial(t, url)
	wait(t, engine, 2)
	require.NoError(t, polite.Close(websocket.StatusNormalClosure, ""))
	wait(t, engine, 1)
	require.NoError(t, rude.CloseNow())
	wait(t, engine, 0)

	tooLong := dial(t, strings.Replace(url, "lobby", strings.Repeat("x", 1025), 1))
	_, _, err := tooLong.Read(t.Context())
	require.Error(t, err, "a room that cannot be counted is hung up on")
}

func TestCentrifuge(t *testing.T) {
	engine := newEngine(t)
	node, url := newCentrifuge(t, engine)

	client := dial(t, url)
	send(t, client, `{"id":1,"connect":{}}`)
	wait(t, engine, 0)
	send(t, client, `{"id":2,"subscribe":{"channel":"lobby"}}`)
	wait(t, engine, 1)
	send(t, client, `{"id":3,"subscribe":{"channel":"lobby"}}`) // refused by centrifuge
	send(t, client, `{"id":4,"subscribe":{"channel":"music"}}`)
	require.Eventually(t, func() bool { return engine.Current("music").Connections == 1 }, patience, tick)
	wait(t, engine, 1)
	send(t, client, `{"id":5,"unsubscribe":{"channel":"lobby"}}`)
	wait(t, engine, 0)
	send(t, client, `{"id":6,"subscribe":{"channel":"lobby"}}`)
	wait(t, engine, 1)

	require.NoError(t, node.Unsubscribe("alice", "lobby")) // the server's doing
	wait(t, engine, 0)
	send(t, client, `{"id":7,"subscribe":{"channel":"lobby"}}`)
	wait(t, engine, 1)

	require.NoError(t, client.CloseNow())
	wait(t, engine, 0)
	require.Eventually(t, func() bool { return engine.Current("music").Connections == 0 }, patience, tick)
}

// Clients subscribe and unsubscribe while the server disconnects them: whatever comes
// first, none is left counted.
func TestCentrifugeInAnyOrder(t *testing.T) {
	engine := newEngine(t)
	node, url := newCentrifuge(t, engine)
	var clients, server sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for i := range 30 {
				ws, _, err := websocket.Dial(context.Background(), url, nil)
				if !assert.NoError(t, err) {
					return
				}
				for _, command := range []string{
					`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"lobby"}}`,
					`{"id":3,"unsubscribe":{"channel":"lobby"}}`, `{"id":4,"subscribe":{"channel":"lobby"}}`,
				} {
					// The server may have closed it, which is what this is about.
					_ = ws.Write(context.Background(), websocket.MessageText, []byte(command))
				}
				if i%2 == 0 {
					_, _, _ = ws.Read(context.Background()) // so that some get further
				}
				_ = ws.CloseNow()
			}
		})
	}
	done := make(chan struct{})
	server.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			_ = node.Disconnect("alice")
		}
	})
	clients.Wait()
	close(done)
	server.Wait()
	require.Eventually(t, func() bool { return node.Hub().NumClients() == 0 }, patience, tick)
	wait(t, engine, 0)
}

// TestSnippets: each file has one pair of marks, for README to show what is between.
func TestSnippets(t *testing.T) {
	for _, name := range []string{"gorilla", "coder", "centrifuge"} {
		source, err := os.ReadFile(name + ".go")
		require.NoError(t, err)
		_, rest, ok := strings.Cut(string(source), "\n// begin: "+name+"\n\n")
		require.True(t, ok)
		snippet, rest, ok := strings.Cut(rest, "\n// end: "+name+"\n")
		require.True(t, ok)
		require.Empty(t, rest)
		require.LessOrEqual(t, strings.Count(snippet, "\n"), 25)
	}
}

const (
	patience = 10 * time.Second
	tick     = time.Millisecond
)

// newCentrifuge is a node that counts in the engine, served to a user called alice.
func newCentrifuge(t *testing.T, engine *occupancy.Engine) (node *centrifuge.Node, url string) {
	node, err := centrifuge.New(centrifuge.Config{})
	require.NoError(t, err)
	hooks.Centrifuge(engine, node)
	require.NoError(t, node.Run())
	t.Cleanup(func() { require.NoError(t, node.Shutdown(context.Background())) })
	ws := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{})
	return node, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		alice := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: "alice"})
		ws.ServeHTTP(w, r.WithContext(alice))
	}))
}

// wait for so many connections in the room "lobby".
func wait(t *testing.T, engine *occupancy.Engine, connections int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return engine.Current("lobby") == occupancy.Occupancy{Connections: connections}
	}, patience, tick)
}

func newEngine(t *testing.T) *occupancy.Engine {
	engine := occupancy.New()
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	return engine
}

func serve(t *testing.T, h http.Handler) (url string) {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { ws.CloseNow() })
	return ws
}

func send(t *testing.T, ws *websocket.Conn, text string) {
	t.Helper()
	require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(text)))
}
