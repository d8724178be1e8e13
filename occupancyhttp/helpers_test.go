package occupancyhttp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

// pipeListener is a listener whose connections are in-memory pipes. A pipe has no buffer,
// so a write to a client that does not read blocks. Pipes work with testing/synctest.
type pipeListener struct {
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	dialed atomic.Int32
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipeListener) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	server, client := net.Pipe()
	p.dialed.Add(1)
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// testServer is a server on a pipeListener, and a client of this server.
type testServer struct {
	*testing.T
	server *http.Server
	pipes  *pipeListener
	client *http.Client
}

// newTestServer serves h until the test ends. The configure functions may change the
// server before it starts.
func newTestServer(t *testing.T, h http.Handler, configure ...func(*http.Server)) *testServer {
	p := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	s := &testServer{T: t, server: &http.Server{Handler: h}, pipes: p}
	transport := &http.Transport{DialContext: p.dial, DisableCompression: true}
	for _, f := range configure {
		f(s.server)
	}
	if s.server.Protocols != nil {
		transport.Protocols = s.server.Protocols
	}
	s.client = &http.Client{Transport: transport}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(p) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

// http2 configures a testServer for HTTP/2 without TLS.
func http2(s *http.Server) {
	s.Protocols = new(http.Protocols)
	s.Protocols.SetUnencryptedHTTP2(true)
}

func (s *testServer) request(method, path string) *http.Request {
	r, err := http.NewRequestWithContext(s.Context(), method, "http://server"+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// get sends a request and returns the response and its body.
func (s *testServer) get(method, path string) (*http.Response, string) {
	s.Helper()
	resp, err := s.client.Do(s.request(method, path))
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp, string(body)
}

// streamReader is the client side of a stream.
type streamReader struct {
	t      *testing.T
	resp   *http.Response
	lines  *bufio.Reader
	cancel func()
}

// openStream opens a stream. If the test does not close the stream, Cleanup does.
func (s *testServer) openStream(path string, header ...string) *streamReader {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	r := s.request(http.MethodGet, path).WithContext(ctx)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	stream := &streamReader{s.T, resp, bufio.NewReader(resp.Body), sync.OnceFunc(func() { cancel(); resp.Body.Close() })}
	s.Cleanup(stream.close)
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		s.Fatalf("stream %s: %s: %s", path, resp.Status, body)
	}
	return stream
}

func (l *streamReader) close() { l.cancel() }

// nextFrame returns the next frame of the stream, or the error that ended it.
func (l *streamReader) nextFrame() (string, error) {
	var frame strings.Builder
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			return frame.String(), err
		}
		frame.WriteString(line)
		if line == "\n" {
			return frame.String(), nil
		}
	}
}

// streamEvent is an event of a stream.
type streamEvent struct {
	Room      string
	Type      occupancy.EventType
	Occupancy occupancy.Occupancy

	// Of an occupancy.refused:
	Status        int
	Code, Message string

	event, id string
}

// nextEvent returns the next event of the stream, and skips comments.
func (l *streamReader) nextEvent() streamEvent {
	l.t.Helper()
	for {
		frame, err := l.nextFrame()
		if err != nil {
			l.t.Fatalf("stream ended: %v", err)
		}
		if !strings.HasPrefix(frame, "event: ") { // a comment or the field retry
			continue
		}
		var e streamEvent
		for line := range strings.Lines(frame) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "event":
				e.event = value
			case "id":
				e.id = value
			case "data":
				if err := json.Unmarshal([]byte(value), &e); err != nil {
					l.t.Fatal(err)
				}
			}
		}
		return e
	}
}

// readUntil reads events until an event has this number of connections.
func (l *streamReader) readUntil(connections int) {
	l.t.Helper()
	for l.nextEvent().Occupancy.Connections != connections {
	}
}

// readToEnd returns the rest of the stream. The test fails if the stream ended with an
// error.
func (l *streamReader) readToEnd() string {
	l.t.Helper()
	rest, err := io.ReadAll(l.lines)
	if err != nil {
		l.t.Errorf("stream ended with an error: %v", err)
	}
	return string(rest)
}

func newEngine(t *testing.T, opts ...occupancy.Option) *occupancy.Engine {
	e := occupancy.New(opts...)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func must(t *testing.T, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// recorder is a ResponseRecorder with write deadlines, like the ResponseWriter of an
// http.Server.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetWriteDeadline(time.Time) error { return nil }

// serve serves one request without a server and returns the response.
func serve(h http.Handler, method, target string) *http.Response {
	return serveRequest(h, httptest.NewRequest(method, target, nil))
}

func serveRequest(h http.Handler, r *http.Request) *http.Response {
	w := recorder{httptest.NewRecorder()}
	h.ServeHTTP(w, r)
	return w.Result()
}

// errorBody is the body of a response that refuses a request.
type errorBody struct {
	Error struct{ Code, Message string }
}

func decodeError(t *testing.T, resp *http.Response) errorBody {
	t.Helper()
	var body errorBody
	dec := json.NewDecoder(resp.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		t.Fatalf("%s: body is not JSON: %v", resp.Status, err)
	}
	if body.Error.Code == "" || body.Error.Message == "" {
		t.Errorf("%s: %+v has no code or no message", resp.Status, body)
	}
	return body
}
