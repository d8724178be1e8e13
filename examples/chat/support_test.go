package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// patient never loses its patience: what ends a session in a test is the test.
var patient = limits{
	pingEvery: time.Hour, pongWait: time.Hour, writeWait: time.Hour, closeWait: time.Hour,
	stopWait: time.Second, outbox: 64,
}

// testServer is a server on a port of its own. When the test is over it is stopped,
// and must then be empty.
type testServer struct {
	*server
	t    *testing.T
	host string
	stop func()
}

func start(t *testing.T, l limits) *testServer {
	t.Helper()
	return startWith(t, l, clusterFlags{})
}

// startWith starts a chat that counts together with others.
func startWith(t *testing.T, l limits, others clusterFlags) *testServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := newServer(l)
	s.member, err = others.join(ctx, s.engine, ln.Addr(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, smallBuffers{ln}) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-served)
		require.Zero(t, s.hub.size())
		require.Zero(t, s.engine.Stats().Subscriptions)
		for room, o := range s.engine.All() {
			require.Failf(t, "not empty", "%s: %+v", room, o)
		}
	})
	t.Cleanup(stop)
	return &testServer{s, t, ln.Addr().String(), stop}
}

// smallBuffers makes what is sent to one that does not read be felt soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetWriteBuffer(4096)
}

// client dials with a small buffer, as above, and keeps no connection for later use.
var client = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true,
	DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(4096)
	},
}}

func (s *testServer) url(room string) string { return "ws://" + s.host + "/ws/" + room }

func (s *testServer) dial(room string) *websocket.Conn {
	s.t.Helper()
	ws, _, err := websocket.Dial(s.t.Context(), s.url(room), &websocket.DialOptions{HTTPClient: client})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// becomes waits until the room's occupancy is so.
func (s *testServer) becomes(room string, connections, members int) {
	s.t.Helper()
	want := occupancy.Occupancy{Connections: connections, PresenceMembers: members}
	s.until(func() bool { return s.engine.Current(room) == want })
}

// until waits for a condition.
func (s *testServer) until(condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, time.Minute, time.Millisecond)
}

func send(ws *websocket.Conn, text string) error {
	return ws.Write(context.Background(), websocket.MessageText, []byte(text))
}

// expect reads until all the messages have come, in whatever order and among others.
func expect(ws *websocket.Conn, messages ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(messages) > 0 {
		_, data, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		if i := slices.Index(messages, string(data)); i >= 0 {
			messages = slices.Delete(messages, i, i+1)
		}
	}
	return nil
}

// closed reads until the websocket is closed, and tells how.
func closed(t *testing.T, ws *websocket.Conn) websocket.CloseError {
	t.Helper()
	err := expect(ws, "this is not said")
	var e websocket.CloseError
	require.ErrorAs(t, err, &e)
	return e
}

// occupancyJSON is the event of DESIGN.md, byte for byte.
func occupancyJSON(connections, members string) string {
	return `{"type":"occupancy.updated","occupancy":{"connections":` + connections + `,"presenceMembers":` + members + `}}`
}

func said(clientID, text string) string {
	return `{"type":"message","clientId":"` + clientID + `","text":"` + text + `"}`
}

// long is so much text that few messages of it fill a socket.
var long = strings.Repeat("a long story ", 500)

// talk says long messages, and hears each, until done.
func talk(ws *websocket.Conn, done func() bool) error {
	if err := send(ws, `{"type":"enter","clientId":"talker"}`); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			return errors.New("talked for a minute")
		}
		if err := errors.Join(send(ws, `{"type":"say","text":"`+long+`"}`), expect(ws, said("talker", long))); err != nil {
			return err
		}
	}
	return nil
}
