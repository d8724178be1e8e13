package occupancyhttp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
	"github.com/occupancy/occupancy/trending"
)

func Example() {
	engine := occupancy.New()
	defer engine.Close()

	mux := http.NewServeMux()
	// begin: mount
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", occupancyhttp.NewHandler(engine)))
	// end: mount
	server := httptest.NewServer(mux)
	defer server.Close()

	lease, err := engine.Connect("lobby")
	if err != nil {
		log.Fatal(err)
	}
	defer lease.Close()

	resp, err := http.Get(server.URL + "/occupancy/rooms/lobby")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))
	// Output: {"connections":1,"presenceMembers":0}
}

// Only authenticated users can read counts, and only of the rooms that they may read.
func ExampleWithAuthorize() {
	engine := occupancy.New()
	defer engine.Close()
	mayRead := map[string]string{"alice": "lobby"}
	authenticate := func(r *http.Request) (user string, ok bool) {
		user, password, _ := r.BasicAuth()
		return user, password == "secret of "+user
	}

	// begin: protect
	handler := occupancyhttp.NewHandler(engine, occupancyhttp.WithAuthorize(func(r *http.Request, room string) error {
		user, ok := authenticate(r) // your function
		switch {
		case !ok:
			return occupancyhttp.ErrUnauthorized // 401
		case mayRead[user] != room:
			return errors.New("user may not read this room") // 403; the client does not receive this text
		}
		return nil
	}))
	// end: protect

	for _, request := range []struct{ user, room string }{{"", "lobby"}, {"alice", "secret"}, {"alice", "lobby"}} {
		r := httptest.NewRequest(http.MethodGet, "/rooms/"+request.room, nil)
		if request.user != "" {
			r.SetBasicAuth(request.user, "secret of "+request.user)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 401 {"error":{"code":"unauthorized","message":"authentication required"}}
	// 403 {"error":{"code":"forbidden","message":"access to this room is denied"}}
	// 200 {"connections":0,"presenceMembers":0}
}

// While the database does not respond, clients retry, and do not take the error for a denial.
func ExampleErrUnavailable() {
	engine := occupancy.New()
	defer engine.Close()
	query := func(r *http.Request, rooms []string) (allowed []string, err error) {
		return nil, context.DeadlineExceeded
	}

	// begin: unavailable
	handler := occupancyhttp.NewHandler(engine, occupancyhttp.WithAuthorizeRooms(func(r *http.Request, rooms []string) ([]string, error) {
		allowed, err := query(r, rooms) // your function
		if err != nil {
			return nil, fmt.Errorf("%w: %w", occupancyhttp.ErrUnavailable, err) // 503
		}
		return allowed, nil
	}))
	// end: unavailable

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/rooms/lobby", nil))
	fmt.Println(w.Code, w.Body)
	fmt.Println("retry after", w.Header().Get("Retry-After"), "seconds")
	// Output:
	// 503 {"error":{"code":"unavailable","message":"access cannot be checked now"}}
	// retry after 5 seconds
}

// A banned user receives no further events, also in streams that are open already.
func ExampleHandler_Revoke() {
	engine := occupancy.New()
	defer engine.Close()
	var banned sync.Map
	authenticate := func(r *http.Request) (user string, ok bool) {
		user, _, ok = r.BasicAuth()
		return user, ok
	}
	handler := occupancyhttp.NewHandler(engine, occupancyhttp.WithAuthorize(func(r *http.Request, _ string) error {
		user, ok := authenticate(r)
		if !ok {
			return occupancyhttp.ErrUnauthorized
		}
		if _, ok := banned.Load(user); ok {
			return errors.New("banned")
		}
		return nil
	}))
	server := httptest.NewServer(handler)
	defer server.Close()
	request, err := http.NewRequest(http.MethodGet, server.URL+"/events?room=lobby", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.SetBasicAuth("mallory", "")
	stream, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Body.Close()

	// begin: ban
	banned.Store("mallory", true) // first: from now on, new requests are refused
	handler.Revoke(func(r *http.Request, _ string) bool {
		user, _ := authenticate(r)
		return user == "mallory"
	})
	// end: ban

	events := bufio.NewScanner(stream.Body)
	for events.Scan() { // until the stream ends
		if strings.Contains(events.Text(), "refused") {
			fmt.Println(events.Text())
		}
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// event: occupancy.refused
	// 403 Forbidden
}

// Behind a reverse proxy, the remote address of all requests is that of the proxy.
func ExampleWithStreamKey() {
	engine := occupancy.New()
	defer engine.Close()

	// begin: limits
	handler := occupancyhttp.NewHandler(engine,
		occupancyhttp.WithMaxStreams(10_000),
		occupancyhttp.WithStreamKey(func(r *http.Request) string {
			return r.Header.Get("X-Real-IP") // your proxy must set it, and overwrite what clients send
		}, 100),
	)
	// end: limits

	server := httptest.NewServer(handler)
	defer server.Close()
	stream, err := http.Get(server.URL + "/events?room=lobby")
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Body.Close()
	fmt.Println(handler.Stats().Streams)
	// Output: 1
}

// On Linux, the stream of a client that lost its network ends within half a minute.
func ExampleConnContext() {
	engine := occupancy.New()
	defer engine.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", occupancyhttp.NewHandler(engine)))

	// begin: vanished
	server := &http.Server{
		Addr:        ":8080",
		Handler:     mux,
		ConnContext: occupancyhttp.ConnContext,
	}
	// end: vanished

	local := httptest.NewUnstartedServer(nil)
	local.Config = server
	local.Start()
	defer local.Close()
	resp, err := http.Get(local.URL + "/occupancy/?room=lobby")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// Browsers use HTTP/2 over TLS. WriteByteTimeout closes connections that do not read.
func ExampleNewHandler_http2() {
	engine := occupancy.New()
	defer engine.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", occupancyhttp.NewHandler(engine)))

	// begin: http2
	server := &http.Server{
		Addr:    ":443",
		Handler: mux,
		HTTP2:   &http.HTTP2Config{WriteByteTimeout: 10 * time.Second},
	}
	// end: http2

	local := httptest.NewUnstartedServer(nil)
	local.Config, local.EnableHTTP2 = server, true
	local.StartTLS()
	defer local.Close()
	resp, err := local.Client().Get(local.URL + "/occupancy/rooms/lobby")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Proto, resp.Status)
	// Output: HTTP/2.0 200 OK
}

// [http.Server.Shutdown] ends the streams of the server. No other call is necessary.
func ExampleNewHandler_shutdown() {
	engine := occupancy.New()
	defer engine.Close()
	server := httptest.NewServer(occupancyhttp.NewHandler(engine))
	defer server.Close()

	stream, err := http.Get(server.URL + "/events?room=lobby")
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Body.Close()

	events := bufio.NewScanner(stream.Body)
	for events.Scan() && !strings.HasPrefix(events.Text(), "event: ") {
	}
	fmt.Println(events.Text())

	go func() { _ = server.Config.Shutdown(context.Background()) }()
	for events.Scan() { // until the stream ends
	}
	fmt.Println(events.Err())
	// Output:
	// event: occupancy.updated
	// <nil>
}

func ExampleWithLists() {
	engine := occupancy.New()
	defer engine.Close()

	// begin: lists
	board := trending.New(engine, trending.WithFilter(func(room string) bool {
		return !strings.HasPrefix(room, "direct:") // nobody may see the names of these rooms
	}))
	defer board.Close()
	handler := occupancyhttp.NewHandler(engine, occupancyhttp.WithLists(board))
	// end: lists

	_ = engine.Join("direct:alice+bob")
	_ = engine.Join("lobby")
	server := httptest.NewServer(handler)
	defer server.Close()
	for !slices.ContainsFunc(board.Popular(1), func(r trending.Room) bool { return r.Name == "lobby" }) {
		time.Sleep(time.Millisecond) // the board lags behind by up to one interval
	}
	response, err := http.Get(server.URL + "/rooms?by=popular&limit=10")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	var list struct{ Rooms []trending.Room }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		fmt.Println(err)
		return
	}
	for _, room := range list.Rooms {
		fmt.Println(room.Name, room.Occupancy.Connections)
	}
	// Output: lobby 1
}
