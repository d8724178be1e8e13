package occupancyhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

func Example() {
	engine := occupancy.New()
	defer engine.Close()

	mux := http.NewServeMux()
	// begin: mount
	mux.Handle("/occupancy/", http.StripPrefix("/occupancy", occupancyhttp.NewHandler(engine)))
	// end: mount
	server := httptest.NewServer(mux)
	defer server.Close()

	conn, err := engine.Connect("lobby")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	resp, err := http.Get(server.URL + "/occupancy/rooms/lobby/occupancy")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: {"connections":1,"presenceMembers":0}
}

// Only who is signed in may ask, and only for the rooms they may read.
func ExampleWithAuthorize() {
	engine := occupancy.New()
	defer engine.Close()
	mayRead := map[string]string{"alice": "lobby"}
	signedIn := func(r *http.Request) (user string, ok bool) {
		user, password, _ := r.BasicAuth()
		return user, password == "secret of "+user
	}

	// begin: protect
	handler := occupancyhttp.NewHandler(engine, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
		user, ok := signedIn(r) // yours
		switch {
		case !ok:
			return occupancyhttp.ErrUnauthorized // 401
		case mayRead[user] != room:
			return errors.New("not a reader of this room") // 403, and nothing else gets out
		}
		return nil
	}))
	// end: protect

	for _, request := range []struct{ user, room string }{{"", "lobby"}, {"alice", "secret"}, {"alice", "lobby"}} {
		r := httptest.NewRequest(http.MethodGet, "/rooms/"+request.room+"/occupancy", nil)
		if request.user != "" {
			r.SetBasicAuth(request.user, "secret of "+request.user)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 401 {"error":{"code":"unauthorized","message":"say who you are"}}
	// 403 {"error":{"code":"forbidden","message":"this room is not for you"}}
	// 200 {"connections":0,"presenceMembers":0}
}

// A server that shuts down ends the streams that came by it; nothing else is to be done.
func ExampleNewHandler_shutdown() {
	engine := occupancy.New()
	defer engine.Close()
	server := httptest.NewServer(occupancyhttp.NewHandler(engine))
	defer server.Close()

	stream, err := http.Get(server.URL + "/rooms/lobby/occupancy/events")
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Body.Close()

	events := bufio.NewReader(stream.Body)
	first, err := events.ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(first)

	go func() { _ = server.Config.Shutdown(context.Background()) }()
	_, err = io.ReadAll(events) // until the stream ends
	fmt.Println(err)
	// Output:
	// event: occupancy.updated
	// <nil>
}
