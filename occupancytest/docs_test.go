package occupancytest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancytest"
)

// newChat returns a server that counts each request of a room until the client disconnects.
func newChat(engine *occupancy.Engine) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
		lease, err := engine.Connect(r.PathValue("room"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer lease.Close()
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return mux
}

// The following are the tests of docs/testing.md.

// begin: connections
func TestChat_CountsClients(t *testing.T) {
	engine := occupancy.New()
	server := httptest.NewServer(newChat(engine)) // your code: the handler of your server
	defer server.Close()

	client, err := http.Get(server.URL + "/rooms/lobby")
	require.NoError(t, err)
	occupancytest.Wait(t, engine, "lobby", occupancy.Occupancy{Connections: 1})

	require.NoError(t, client.Body.Close()) // the client disconnects
	occupancytest.WaitEmpty(t, engine)
	require.NoError(t, engine.Close())
}

// end: connections

// begin: bubble
func TestReconnect_InTimeIsInvisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := occupancy.New(occupancy.WithUsers())
		defer engine.Close() // all goroutines of a bubble must end
		lease, err := engine.Connect("lobby", occupancy.As("alice"))
		require.NoError(t, err)
		sub, err := engine.Subscribe("lobby")
		require.NoError(t, err)
		<-sub.Events() // the current counts

		lease.Linger(5 * time.Second) // Alice's network breaks
		time.Sleep(4 * time.Second)   // virtual time
		lease, err = engine.Connect("lobby", occupancy.As("alice"))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Empty(t, sub.Events())

		lease.Linger(5 * time.Second) // it breaks again, and she does not return
		occupancytest.WaitEmpty(t, engine)
	})
}

// end: bubble
