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

// noTimeouts are limits that end no session during a test.
var noTimeouts = limits{
	pingEvery: time.Hour, pongWait: time.Hour, writeWait: time.Hour, closeWait: time.Hour,
	stopWait: time.Second, outbox: 64,
}

// testServer is a server on a port of its own. At the end of the test it is stopped and
// must be empty.
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

// startWith starts a chat that joins a cluster.
func startWith(t *testing.T, l limits, cluster clusterFlags) *testServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := newServer(l)
	s.node, err = cluster.join(ctx, s.engine, ln.Addr(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, smallBuffers{ln}) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-served)
		require.Zero(t, s.hub.roomCount())
		require.Zero(t, s.engine.Stats().Subscriptions)
		for room, o := range s.engine.All() {
			require.Failf(t, "not empty", "%s: %+v", room, o)
		}
	})
	t.Cleanup(stop)
	return &testServer{s, t, ln.Addr().String(), stop}
}

// smallBuffers gives connections small send buffers, so that writes to a client that does
// not read soon block.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetWriteBuffer(4096)
}

// client opens connections with small receive buffers and does not reuse them.
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

// waitFor waits until the room has this occupancy.
func (s *testServer) waitFor(room string, connections, members int) {
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

// receive reads until all these messages have arrived, in any order and among others.
func receive(ws *websocket.Conn, messages ...string) error {
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

// readClose reads until the websocket is closed, and returns the close frame.
func readClose(t *testing.T, ws *websocket.Conn) websocket.CloseError {
	t.Helper()
	err := receive(ws, notSent)
	var e websocket.CloseError
	require.ErrorAs(t, err, &e)
	return e
}

// notSent is a message that the server never sends: receive returns only with an error.
const notSent = "not sent"

// occupancyJSON returns the JSON of an event.
func occupancyJSON(connections, members string) string {
	return `{"type":"occupancy.updated","occupancy":{"connections":` + connections + `,"presenceMembers":` + members + `}}`
}

func chatMessage(clientID, text string) string {
	return `{"type":"message","clientId":"` + clientID + `","text":"` + text + `"}`
}

// long is a text of which few messages fill the buffers of a connection.
var long = strings.Repeat("a long text ", 500)

// chatUntil sends long messages and receives each, until done.
func chatUntil(ws *websocket.Conn, done func() bool) error {
	if err := send(ws, `{"type":"enter","clientId":"sender"}`); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			return errors.New("not done after a minute")
		}
		if err := errors.Join(send(ws, `{"type":"say","text":"`+long+`"}`), receive(ws, chatMessage("sender", long))); err != nil {
			return err
		}
	}
	return nil
}
