package hooks

import (
	"errors"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestMain(m *testing.M) {
	// pongWait is long enough for a busy machine to answer a ping.
	pingPeriod, pongWait, writeWait = 200*time.Millisecond, 4*time.Second, 4*time.Second
	reloadWait, reconnectWait = time.Hour, time.Hour
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // more than the number of CPUs, because the tests mostly wait
	os.Exit(m.Run())
}

// timeout is long enough for a busy machine.
const timeout = 30 * time.Second

// server runs one of the handlers of this package on a loopback TCP address.
type server struct {
	engine *occupancy.Engine
	url    string // of the websocket, without the room
	path   func(room string) string
	join   func(t *testing.T, c *testClient, room string) // joins the room after the handshake
	pongs  map[string]string                              // maps a ping message to a pong message
}

// newServer serves the handler. The last segment of the path is the room, by default.
func newServer(t *testing.T, engine *occupancy.Engine, pattern string, handler http.Handler) *server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(pattern, handler)
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return &server{
		engine: engine,
		url:    "ws" + strings.TrimPrefix(site.URL, "http"),
		path:   func(room string) string { return "/ws/" + room },
		join:   func(*testing.T, *testClient, string) {},
	}
}

func newEngine(t *testing.T, opts ...occupancy.Option) *occupancy.Engine {
	engine := occupancy.New(opts...)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	return engine
}

// waitFor waits until the room has this many connections.
func (s *server) waitFor(t *testing.T, room string, connections int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return s.engine.Current(room) == occupancy.Occupancy{Connections: connections}
	}, timeout, time.Millisecond, "%s must have %d connections", room, connections)
}

// waitEmpty waits until all rooms are empty.
func (s *server) waitEmpty(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		for range s.engine.All() {
			return false
		}
		return true
	}, timeout, time.Millisecond)
}

// testClient is a websocket client. It answers pings until stopAnswering is called.
type testClient struct {
	ws       *websocket.Conn
	tcp      *net.TCPConn
	messages chan string // received messages without pings; dropped if the buffer is full
	ended    chan struct{}
	err      error // of the last read, for example a *websocket.CloseError; set before ended is closed
	silent   atomic.Bool
	pings    atomic.Int64
	writeMu  sync.Mutex // gorilla/websocket allows one writer
}

func tcpConn(ws *websocket.Conn) *net.TCPConn { return ws.NetConn().(*net.TCPConn) }

func (s *server) dial(t *testing.T, room string) *testClient {
	t.Helper()
	return s.dialClient(t, room, false)
}

// dialClient dials as a client that is silent from the start or not.
func (s *server) dialClient(t *testing.T, room string, silent bool) *testClient {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), s.url+s.path(room), nil)
	require.NoError(t, err)
	c := &testClient{ws: ws, tcp: tcpConn(ws), messages: make(chan string, 64), ended: make(chan struct{})}
	c.silent.Store(silent)
	t.Cleanup(func() {
		ws.Close()
		<-c.ended
	})
	errSilent := errors.New("silent")
	ws.SetPingHandler(func(data string) error {
		c.pings.Add(1)
		if c.silent.Load() {
			return errSilent
		}
		_ = ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(timeout))
		return nil
	})
	go func() { // returns when the connection is closed or the client is silent
		defer close(c.ended)
		for !c.silent.Load() {
			_, message, err := ws.ReadMessage()
			if err != nil {
				c.err = err
				return
			}
			if answer, ok := s.pongs[string(message)]; ok {
				if c.pings.Add(1); !c.silent.Load() {
					c.send(answer)
				}
				continue
			}
			select {
			case c.messages <- string(message):
			default:
			}
		}
	}()
	s.join(t, c, room)
	return c
}

// send ignores errors: a test fails anyway if the message does not arrive.
func (c *testClient) send(message string) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	_ = c.ws.WriteMessage(websocket.TextMessage, []byte(message))
}

// receive waits for a message that contains text, and returns it.
func (c *testClient) receive(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(timeout)
	for {
		select {
		case message := <-c.messages:
			if strings.Contains(message, text) {
				return message
			}
		case <-deadline:
			require.FailNow(t, "message not received", text)
		}
	}
}

// waitClosed waits until the server has closed the connection.
func (c *testClient) waitClosed(t *testing.T) {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(timeout):
		require.FailNow(t, "the server did not close the connection")
	}
}

// stopAnswering makes the client ignore the next ping and all data after that.
func (c *testClient) stopAnswering(t *testing.T) {
	t.Helper()
	c.silent.Store(true)
	select {
	case <-c.ended:
	case <-time.After(timeout):
		require.FailNow(t, "the server did not send a ping")
	}
}

func (c *testClient) closeFrame(t *testing.T) {
	t.Helper()
	c.closeWith(t, websocket.CloseNormalClosure)
}

// closeWith sends a close frame with the code.
func (c *testClient) closeWith(t *testing.T, code int) {
	t.Helper()
	frame := websocket.FormatCloseMessage(code, "")
	require.NoError(t, c.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(timeout)))
}

func (c *testClient) write(t *testing.T, bytes ...byte) {
	t.Helper()
	_, err := c.tcp.Write(bytes)
	require.NoError(t, err)
}

// disconnects contains one function for each way to disconnect.
var disconnects = map[string]func(t *testing.T, c *testClient){
	"close frame": func(t *testing.T, c *testClient) {
		c.closeFrame(t)
		c.waitClosed(t)
	},
	"two close frames": func(t *testing.T, c *testClient) {
		frame := []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8} // a masked close frame with code 1000
		c.write(t, append(frame, frame...)...)
		c.waitClosed(t)
		require.NoError(t, c.tcp.Close())
	},
	"FIN": func(t *testing.T, c *testClient) {
		require.NoError(t, c.tcp.CloseWrite())
	},
	"RST": func(t *testing.T, c *testClient) {
		require.NoError(t, c.tcp.SetLinger(0))
		require.NoError(t, c.tcp.Close())
	},
	"silence": func(t *testing.T, c *testClient) {
		c.stopAnswering(t)
	},
	"silence within a frame": func(t *testing.T, c *testClient) {
		c.stopAnswering(t)
		c.write(t, 0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, 'h', 'e') // the header announces 256 bytes
	},
	"garbage": func(t *testing.T, c *testClient) {
		c.write(t, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	},
	"close frame, then RST": func(t *testing.T, c *testClient) {
		c.closeFrame(t)
		require.NoError(t, c.tcp.SetLinger(0))
		require.NoError(t, c.tcp.Close())
	},
}

// testDisconnects checks for each way to disconnect that clients are counted until they
// disconnect. Clients that only answer pings must stay counted.
func (s *server) testDisconnects(t *testing.T) {
	t.Helper()
	const clients = 4 // in each room
	connect := func(room string) (connected []*testClient) {
		for range clients {
			connected = append(connected, s.dial(t, room))
		}
		return connected
	}
	idle := connect("idle")
	connectedAt := time.Now()
	rooms := map[string][]*testClient{} // the key is the way to disconnect
	for way := range disconnects {
		rooms[way] = connect(roomName(way))
	}
	for way, connected := range rooms {
		s.waitFor(t, roomName(way), clients)
		for _, c := range connected {
			disconnects[way](t, c)
		}
	}
	for way := range rooms {
		s.waitFor(t, roomName(way), 0)
	}

	for _, c := range idle {
		require.Eventually(t, func() bool { return c.pings.Load() >= 2 && time.Since(connectedAt) > pongWait*3/2 }, timeout, time.Millisecond)
	}
	s.waitFor(t, "idle", clients)
	for _, c := range idle {
		c.closeFrame(t)
	}
	s.waitEmpty(t)
}

// roomName returns the room for a way to disconnect, in a form that is valid in a URL path.
func roomName(way string) string { return strings.NewReplacer(" ", "-", ",", "").Replace(way) }

// testFlood checks that the server disconnects a client that sends messages and does not
// read the answers.
func (s *server) testFlood(t *testing.T) {
	t.Helper()
	c := s.dial(t, "flood")
	s.waitFor(t, "flood", 1)
	c.stopAnswering(t)
	message := strings.Repeat("x", 400)
	require.NoError(t, c.ws.SetWriteDeadline(time.Now().Add(timeout)))
	var err error
	for err == nil {
		err = c.ws.WriteMessage(websocket.TextMessage, []byte(message))
	}
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server did not close the connection")
	s.waitFor(t, "flood", 0)
	s.waitEmpty(t)
}

// testSilentFromStart checks that the server disconnects a client that never answers, not
// even the first ping.
func (s *server) testSilentFromStart(t *testing.T) {
	t.Helper()
	s.dialClient(t, "silent", true)
	s.waitFor(t, "silent", 1)
	s.waitFor(t, "silent", 0)
}

// testPlainGET checks that a request without an upgrade never counts a connection. The room
// limit is reached, so Stats().Refused would show a call of Connect.
func testPlainGET(t *testing.T, handler func(*occupancy.Engine) http.Handler) {
	t.Helper()
	engine := newEngine(t, occupancy.WithMaxRooms(1))
	require.NoError(t, engine.Join("other"))
	s := newServer(t, engine, "GET /ws/{room}", handler(engine))
	resp, err := http.Get("http" + strings.TrimPrefix(s.url, "ws") + s.path("lobby"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.GreaterOrEqual(t, resp.StatusCode, http.StatusBadRequest)
	require.Zero(t, engine.Current("lobby"))
	require.Zero(t, engine.Stats().Refused)
}

// testRefusesInvalidRoom checks that the server sends the reason if the name of the room is
// invalid, and disconnects the client.
func (s *server) testRefusesInvalidRoom(t *testing.T) {
	t.Helper()
	c := s.dial(t, strings.Repeat("x", 1025))
	c.waitClosed(t)
	require.Equal(t, &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: occupancy.ErrInvalidRoom.Error()}, c.err)
	s.waitEmpty(t)
}

// testRefusesLongMessage checks that the server disconnects a client that sends a long message.
func (s *server) testRefusesLongMessage(t *testing.T) {
	t.Helper()
	c := s.dial(t, "lobby")
	s.waitFor(t, "lobby", 1)
	c.send(strings.Repeat("x", 40_000)) // more than the limits of all libraries
	c.waitClosed(t)
	s.waitEmpty(t)
}

// testInvalidRoom checks that the server disconnects a client if the name of the room is invalid.
func (s *server) testInvalidRoom(t *testing.T) {
	t.Helper()
	s.dial(t, strings.Repeat("x", 1025)).waitClosed(t)
	s.waitEmpty(t)
}
