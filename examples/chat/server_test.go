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

	"github.com/occupancy/occupancy"
)

func (s *testServer) get(path string) (code int, body string) {
	s.t.Helper()
	resp, err := smallBufferClient.Get("http://" + s.addr + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(b)
}

func TestRoutes_StatusCodes(t *testing.T) {
	s := start(t, longTimeouts)
	s.dial("night%20owls")
	s.dial("a%2Fb")
	s.waitOccupancy("night owls", 1, 0)
	s.waitOccupancy("a/b", 1, 0)
	tooLong := strings.Repeat("x", 1025)
	invalidRoom := `{"error":"` + occupancy.ErrInvalidRoom.Error() + `"}` + "\n"
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/rooms/night%20owls": {200, `{"connections":1,"presenceMembers":0}`},
		"/rooms/a%2Fb":        {200, `{"connections":1,"presenceMembers":0}`},
		"/rooms/nowhere":      {200, `{"connections":0,"presenceMembers":0}`},
		"/ws/" + tooLong:      {400, invalidRoom},
		"/ws/%ff":             {400, invalidRoom},
	} {
		code, body := s.get(path)
		require.Equal(t, want.code, code, path)
		require.Equal(t, want.body, body, path)
	}
	for path, want := range map[string]int{
		"/": 200, "/app.js": 200, "/occupancy/occupancy.js": 200, "/nothing": 404,
		"/rooms/" + tooLong: 400, "/rooms/%ff": 400, "/ws/lobby": http.StatusUpgradeRequired,
		"/ws?room=..": http.StatusUpgradeRequired, "/ws": 400, "/ws?room=" + tooLong: 400,
	} {
		code, _ := s.get(path)
		require.Equal(t, want, code, path)
	}
}

func TestRoutes_ServePage(t *testing.T) {
	w := httptest.NewRecorder()
	newServer(longTimeouts).routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(t, w.Body.String(), `<script type="module" src="app.js">`)
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'self'")
}

func TestWebsocket_OtherOriginIsRejected(t *testing.T) {
	s := start(t, longTimeouts)
	for origin, want := range map[string]int{
		"http://" + s.addr:      http.StatusSwitchingProtocols,
		"http://other.example/": http.StatusForbidden,
	} {
		ws, resp, _ := websocket.Dial(t.Context(), s.url("lobby"), &websocket.DialOptions{
			HTTPClient: smallBufferClient, HTTPHeader: http.Header{"Origin": {origin}},
		})
		require.Equal(t, want, resp.StatusCode)
		if ws != nil {
			require.NoError(t, ws.CloseNow())
		}
	}
	s.waitOccupancy("lobby", 0, 0)
}

func TestRoutes_UnavailableAfterStop(t *testing.T) {
	s := start(t, longTimeouts)
	s.stop()
	for path, body := range map[string]string{
		"/rooms/lobby": "",
		"/ws/lobby":    `{"error":"occupancy: closed"}` + "\n",
	} {
		w := httptest.NewRecorder()
		s.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), body)
	}
}

// A server that stops sends a close frame to each client. Every second client does not read
// the close frame, and the server does not wait for this client.
func TestStop_SendsCloseFrames(t *testing.T) {
	l := longTimeouts
	l.closeWait = 50 * time.Millisecond
	s := start(t, l)
	var clients []*websocket.Conn
	reasons := make(chan error, 10)
	for i := range 20 {
		ws := s.dial(fmt.Sprintf("room-%d", i%3))
		clients = append(clients, ws)
		if i%2 == 0 {
			go func() { reasons <- receive(ws, notSent) }()
		}
	}
	s.waitUntil(func() bool { return s.engine.Stats().Total.Connections == len(clients) })
	s.stop()
	for range 10 {
		require.ErrorIs(t, <-reasons, errStopping)
	}
	_, err := smallBufferClient.Get("http://" + s.addr)
	require.Error(t, err)
}
