package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancytest"
)

// longTimeouts are limits with timeouts that are longer than any test.
var longTimeouts = limits{
	pingPeriod: time.Hour, pongWait: time.Hour, writeWait: time.Hour, closeWait: time.Hour,
	shutdownWait: time.Second, outboxSize: 64,
	reloadWait: 0, reconnectWait: 0, // a client that has gone is not counted any more
}

// testServer is a running chat server. At the end of the test it is stopped; then all rooms
// must be empty.
type testServer struct {
	*server
	t    *testing.T
	addr string
	stop func()
}

func start(t *testing.T, l limits) *testServer {
	t.Helper()
	return startWith(t, l, clusterFlags{})
}

// startWith starts a chat server that joins a cluster.
func startWith(t *testing.T, l limits, cluster clusterFlags) *testServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := newServer(l)
	s.node, err = cluster.join(ctx, s, ln.Addr(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	serveErr := make(chan error, 1)
	go func() { serveErr <- s.serve(ctx, smallBuffers{ln}) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-serveErr)
		require.Zero(t, s.hub.roomCount())
		require.Zero(t, s.engine.Stats().Subscriptions)
		occupancytest.WaitEmpty(t, s.engine)
	})
	t.Cleanup(stop)
	return &testServer{s, t, ln.Addr().String(), stop}
}

// build builds the chat program in a directory and returns the path of the binary.
func build(t *testing.T, dir string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "chat")
	out, err := exec.Command("go", "build", "-C", dir, "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// freeAddress returns an address to listen on. The operating system does not use such low
// ports for outgoing connections, so the port stays free during a restart.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if ln, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, ln.Close())
			return address
		}
	}
}

// redisServer is a redis-server process.
type redisServer struct {
	t       *testing.T
	address string
	cmd     *exec.Cmd
}

// startRedis starts redis-server. The test is skipped if it is not installed.
func startRedis(t *testing.T) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("redis-server is not installed")
	}
	s := &redisServer{t: t, address: freeAddress(t)}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.address)
	s.cmd = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "")
	require.NoError(s.t, s.cmd.Start())
}

func (s *redisServer) signal(sig os.Signal) { require.NoError(s.t, s.cmd.Process.Signal(sig)) }

func (s *redisServer) kill() { _, _ = s.cmd.Process.Kill(), s.cmd.Wait() }

func (s *redisServer) url() string { return "redis://" + s.address }

// smallBuffers is a listener whose connections have small send buffers: a write soon blocks
// if the client does not read.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetWriteBuffer(4096)
}

// smallBufferClient opens a new connection with a small receive buffer for each request.
var smallBufferClient = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true,
	DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(4096)
	},
}}

func (s *testServer) url(room string) string { return "ws://" + s.addr + "/ws/" + room }

func (s *testServer) dial(room string) *websocket.Conn {
	s.t.Helper()
	ws, _, err := websocket.Dial(s.t.Context(), s.url(room), &websocket.DialOptions{HTTPClient: smallBufferClient})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// waitOccupancy waits until the room has these counts. Each member is a user of its own.
func (s *testServer) waitOccupancy(room string, connections, members int) {
	s.t.Helper()
	want := occupancy.Occupancy{Connections: connections, PresenceMembers: members, Users: members}
	occupancytest.Wait(s.t, s.engine, room, want)
}

// waitUntil waits until condition returns true. For the counts of a room, use waitOccupancy.
func (s *testServer) waitUntil(condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, time.Minute, time.Millisecond)
}

func send(ws *websocket.Conn, text string) error {
	return ws.Write(context.Background(), websocket.MessageText, []byte(text))
}

// receive reads until all these messages have arrived, in any order. It skips other messages.
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

// notSent is a message that the server never sends. So receive(ws, notSent) reads until the
// websocket is closed.
const notSent = "not sent"

// occupancyJSON returns an occupancy event as JSON. Each member is a user of its own.
func occupancyJSON(connections, members int) string {
	users := ""
	if members > 0 {
		users = fmt.Sprintf(`,"users":%d`, members)
	}
	return fmt.Sprintf(`{"type":"occupancy.updated","occupancy":{"connections":%d,"presenceMembers":%d%s}}`, connections, members, users)
}

func chatMessage(clientID, text string) string {
	return `{"type":"message","clientId":"` + clientID + `","text":"` + text + `"}`
}

// longText is so long that a few messages fill the buffers of a connection.
var longText = strings.Repeat("a long text ", 500)

// chatUntil sends and receives long messages until done returns true.
func chatUntil(ws *websocket.Conn, done func() bool) error {
	if err := send(ws, `{"type":"enter","clientId":"sender"}`); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			return errors.New("not done after a minute")
		}
		if err := errors.Join(send(ws, `{"type":"say","text":"`+longText+`"}`), receive(ws, chatMessage("sender", longText))); err != nil {
			return err
		}
	}
	return nil
}
