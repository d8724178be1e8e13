package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

func (s *testServer) get(path string) (code int, body string) {
	s.t.Helper()
	resp, err := client.Get("http://" + s.host + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(b)
}

func TestRoutes(t *testing.T) {
	s := start(t, patient)
	s.dial("night%20owls")
	s.dial("a%2Fb")
	s.becomes("night owls", 1, 0)
	s.becomes("a/b", 1, 0)
	const (
		live   = `{"error":{"code":"bad_room_name","message":"a room's name has 1 to 1024 bytes of UTF-8"}}`
		socket = `{"error":"occupancy: room name is empty, over 1024 bytes or not UTF-8"}` + "\n"
	)
	tooLong := strings.Repeat("x", 1025)
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/rooms/night%20owls/occupancy":    {200, `{"connections":1,"presenceMembers":0}`},
		"/rooms/a%2Fb/occupancy":           {200, `{"connections":1,"presenceMembers":0}`},
		"/rooms/nowhere/occupancy":         {200, `{"connections":0,"presenceMembers":0}`},
		"/rooms/" + tooLong + "/occupancy": {400, live},
		"/rooms/%ff/occupancy":             {400, live},
		"/ws/" + tooLong:                   {400, socket},
		"/ws/%ff":                          {400, socket},
	} {
		code, body := s.get(path)
		require.Equal(t, want.code, code, path)
		require.Equal(t, want.body, body, path)
	}
	for path, want := range map[string]int{"/": 200, "/app.js": 200, "/occupancy/occupancy.js": 200, "/nothing": 404, "/ws/lobby": http.StatusUpgradeRequired} {
		code, _ := s.get(path)
		require.Equal(t, want, code, path)
	}
}

func TestPageIsServed(t *testing.T) {
	w := httptest.NewRecorder()
	newServer(patient).routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(t, w.Body.String(), `<script type="module" src="app.js">`)
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'self'") // whatever is said in a room runs nothing
}

func TestOtherOriginsAreRefused(t *testing.T) {
	s := start(t, patient)
	for origin, want := range map[string]int{
		"http://" + s.host:          http.StatusSwitchingProtocols,
		"http://elsewhere.example/": http.StatusForbidden,
	} {
		ws, resp, _ := websocket.Dial(t.Context(), s.url("lobby"), &websocket.DialOptions{
			HTTPClient: client, HTTPHeader: http.Header{"Origin": {origin}},
		})
		require.Equal(t, want, resp.StatusCode)
		if ws != nil {
			require.NoError(t, ws.CloseNow())
		}
	}
	s.becomes("lobby", 0, 0)
}

func TestClosedEngineIsUnavailable(t *testing.T) {
	s := newServer(patient)
	require.NoError(t, s.engine.Close())
	for path, body := range map[string]string{
		"/rooms/lobby/occupancy": `{"error":{"code":"closed","message":"the server is closing"}}`,
		"/ws/lobby":              `{"error":"occupancy: closed"}` + "\n",
	} {
		w := httptest.NewRecorder()
		s.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, body, w.Body.String())
	}
}

// Everybody is told that the server goes, those who do not listen do not hold it up,
// and all who were counted in are counted out.
func TestStopSaysGoodbye(t *testing.T) {
	l := patient
	l.closeWait = 50 * time.Millisecond
	s := start(t, l)
	var clients []*websocket.Conn
	goodbyes := make(chan error, 10)
	for i := range 20 {
		ws := s.dial(fmt.Sprintf("room-%d", i%3))
		clients = append(clients, ws)
		if i%2 == 0 {
			go func() { goodbyes <- expect(ws, "this is not said") }()
		}
	}
	s.until(func() bool { return s.engine.Stats().Connections == len(clients) })
	s.stop()
	for range 10 {
		require.ErrorIs(t, <-goodbyes, errAway)
	}
	_, err := client.Get("http://" + s.host)
	require.Error(t, err)
}
