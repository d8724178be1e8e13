package occupancytest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancytest"
)

// A client of a server connects and disconnects. The handlers of the server run in other
// goroutines, so the test waits for their effects.
func Example() {
	t := new(testing.T) // in your test: its *testing.T

	engine := occupancy.New()
	defer engine.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lease, err := engine.Connect("lobby")
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer lease.Close()
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // the client has disconnected
	}))
	defer server.Close()

	response, err := http.Get(server.URL)
	if err != nil {
		panic(err)
	}
	occupancytest.Wait(t, engine, "lobby", occupancy.Occupancy{Connections: 1})
	fmt.Println("one client:", engine.Current("lobby"))

	response.Body.Close()
	occupancytest.WaitEmpty(t, engine)
	fmt.Println("no client:", engine.Current("lobby"))
	// Output:
	// one client: {1 0 0}
	// no client: {0 0 0}
}
