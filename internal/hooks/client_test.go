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
	// Short, but long enough for a busy machine to answer a ping.
	pingPeriod, pongWait, writeWait = 200*time.Millisecond, 4*time.Second, 4*time.Second
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the tests mostly wait
	os.Exit(m.Run())
}

// timeout is long enough for a machine that is busy with other work.
const timeout = 30 * time.Second

// server is one of the servers of this package, on a loopback TCP address.
type server struct {
	engine *occupancy.Engine
	url    string // of the websocket, without the room
	path   func(room string) string
	hello  func(t *testing.T, c *testClient, room string) // joins the room after the handshake
	pong   map[string]string                              // answers to pings that are messages
}

// newServer serves handler at pattern. The room is the last segment of the path.
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
		hello:  func(*testing.T, *testClient, string) {},
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

// waitEmpty waits until nothing is counted.
func (s *server) waitEmpty(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		for range s.engine.All() {
			return false
		}
		return true
	}, timeout, time.Millisecond)
}

// testClient is a websocket client that answers pings until it is silent.
type testClient struct {
	ws       *websocket.Conn
	tcp      *net.TCPConn
	messages chan string // received, without pings; dropped while nothing reads them
	ended    chan struct{}
	silent   atomic.Bool
	pings    atomic.Int64
	writeMu  sync.Mutex // gorilla allows one writer
}

func (s *server) dial(t *testing.T, room string) *testClient {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), s.url+s.path(room), nil)
	require.NoError(t, err)
	c := &testClient{ws: ws, tcp: ws.NetConn().(*net.TCPConn), messages: make(chan string, 64), ended: make(chan struct{})}
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
				return
			}
			if answer, ok := s.pong[string(message)]; ok {
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
	s.hello(t, c, room)
	return c
}

// send ignores errors: the tests notice that a message is missing.
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

// fallSilent makes the client leave the next ping unanswered and read nothing more.
func (c *testClient) fallSilent(t *testing.T) {
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
	frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	require.NoError(t, c.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(timeout)))
}

func (c *testClient) write(t *testing.T, bytes ...byte) {
	t.Helper()
	_, err := c.tcp.Write(bytes)
	require.NoError(t, err)
}

// disconnects are the ways in which a connection ends.
var disconnects = map[string]func(t *testing.T, c *testClient){
	"close frame": func(t *testing.T, c *testClient) {
		c.closeFrame(t)
		c.waitClosed(t)
	},
	"two close frames": func(t *testing.T, c *testClient) {
		frame := []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8} // masked, code 1000
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
		c.fallSilent(t)
	},
	"silence in a frame": func(t *testing.T, c *testClient) {
		c.fallSilent(t)
		c.write(t, 0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, 'h', 'e') // the header promises 256 bytes
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

// testDisconnects checks that clients are counted exactly until they disconnect, for each
// way to disconnect, and that clients which only answer pings remain counted.
func (s *server) testDisconnects(t *testing.T) {
	t.Helper()
	const clients = 4 // of each room
	connect := func(room string) (connected []*testClient) {
		for range clients {
			connected = append(connected, s.dial(t, room))
		}
		return connected
	}
	quiet := connect("quiet")
	connectedAt := time.Now()
	rooms := map[string][]*testClient{} // by the way their clients disconnect
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

	for _, c := range quiet {
		require.Eventually(t, func() bool { return c.pings.Load() >= 2 && time.Since(connectedAt) > pongWait*3/2 }, timeout, time.Millisecond)
	}
	s.waitFor(t, "quiet", clients)
	for _, c := range quiet {
		c.closeFrame(t)
	}
	s.waitEmpty(t)
}

// roomName makes a room's name, for a path, of a way to disconnect.
func roomName(way string) string { return strings.NewReplacer(" ", "-", ",", "").Replace(way) }

// testFlood checks that a client which sends messages and does not read the answers is
// disconnected and no longer counted.
func (s *server) testFlood(t *testing.T) {
	t.Helper()
	c := s.dial(t, "flood")
	s.waitFor(t, "flood", 1)
	c.fallSilent(t)
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

// testPlainGET checks that a request without an upgrade never counts a connection: with
// the only room taken, Connect would be refused.
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

// testInvalidRoom checks that a client of a room that cannot be counted is disconnected.
func (s *server) testInvalidRoom(t *testing.T) {
	t.Helper()
	s.dial(t, strings.Repeat("x", 1025)).waitClosed(t)
	s.waitEmpty(t)
}
