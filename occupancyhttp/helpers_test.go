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

	"github.com/occupancy/occupancy"
)

// pipes is a listener whose connections are pipes in memory: they hold nothing, so a
// client that stops reading is felt at once, and testing/synctest sees through them.
type pipes struct {
	conns   chan net.Conn
	done    chan struct{}
	once    sync.Once
	dialled atomic.Int32
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	server, client := net.Pipe()
	p.dialled.Add(1)
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// site is a server over pipes and a client of it.
type site struct {
	*testing.T
	server *http.Server
	pipes  *pipes
	client *http.Client
}

// newSite serves h until the test ends; tune may change the server before.
func newSite(t *testing.T, h http.Handler, tune ...func(*http.Server)) *site {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s := &site{T: t, server: &http.Server{Handler: h}, pipes: p}
	transport := &http.Transport{DialContext: p.dial, DisableCompression: true}
	for _, f := range tune {
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

// http2 has a site speak HTTP/2, without TLS.
func http2(s *http.Server) {
	s.Protocols = new(http.Protocols)
	s.Protocols.SetUnencryptedHTTP2(true)
}

func (s *site) request(method, path string) *http.Request {
	r, err := http.NewRequestWithContext(s.Context(), method, "http://site"+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// get answers with a response whose body is read.
func (s *site) get(method, path string) (*http.Response, string) {
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

// listener is a client's end of a stream.
type listener struct {
	t      *testing.T
	resp   *http.Response
	lines  *bufio.Reader
	cancel func()
}

// listen opens a stream, which ends with the test at the latest.
func (s *site) listen(path string, header ...string) *listener {
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
	l := &listener{s.T, resp, bufio.NewReader(resp.Body), sync.OnceFunc(func() { cancel(); resp.Body.Close() })}
	s.Cleanup(l.leave)
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		s.Fatalf("stream %s: %s: %s", path, resp.Status, body)
	}
	return l
}

func (l *listener) leave() { l.cancel() }

// frame is the next frame of the stream, or the error that ended it.
func (l *listener) frame() (string, error) {
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

// news is an event as a stream tells it.
type news struct {
	Room      string
	Type      occupancy.EventType
	Occupancy occupancy.Occupancy
	id        string
}

// next is the next event; comments are passed over.
func (l *listener) next() news {
	l.t.Helper()
	for {
		frame, err := l.frame()
		if err != nil {
			l.t.Fatalf("stream ended: %v", err)
		}
		if strings.HasPrefix(frame, ":") {
			continue
		}
		var n news
		for line := range strings.Lines(frame) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				n.id = value
			case "data":
				if err := json.Unmarshal([]byte(value), &n); err != nil {
					l.t.Fatal(err)
				}
			}
		}
		return n
	}
}

// until reads on until the room has so many connections.
func (l *listener) until(connections int) {
	l.t.Helper()
	for l.next().Occupancy.Connections != connections {
	}
}

// over reports the rest of a stream, and that it ended as a stream should.
func (l *listener) over() string {
	l.t.Helper()
	rest, err := io.ReadAll(l.lines)
	if err != nil {
		l.t.Errorf("stream did not end well: %v", err)
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

// ask serves one request without a server.
func ask(h http.Handler, method, target string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

// failure is an answer that refuses.
type failure struct {
	Error struct{ Code, Message, Room string }
}

func failureOf(t *testing.T, resp *http.Response) failure {
	t.Helper()
	var f failure
	dec := json.NewDecoder(resp.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		t.Fatalf("%s: no JSON: %v", resp.Status, err)
	}
	if f.Error.Code == "" || f.Error.Message == "" {
		t.Errorf("%s: %+v lacks a code or a message", resp.Status, f)
	}
	return f
}
