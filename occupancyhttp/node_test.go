package occupancyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// The tests of the browser client need node, and some of them what `npm ci` installs in
// the client's directory. Without, they are skipped; under CI=true they fail.

func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// node runs node in the client's directory.
func node(t *testing.T, env []string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		lacking(t, "node is not installed: the browser client is not tested")
	}
	if version, err := exec.Command(path, "-p", "process.versions.node").Output(); err != nil || major(version) < 20 {
		lacking(t, fmt.Sprintf("node %s is older than 20: the browser client is not tested", strings.TrimSpace(string(version))))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "client"
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// major is the first number of a version, or 0.
func major(version []byte) int {
	number, _, _ := strings.Cut(string(version), ".")
	n, _ := strconv.Atoi(number)
	return n
}

// npm is the path of a program that `npm ci` installs.
func npm(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join("node_modules", program)
	if _, err := os.Stat(filepath.Join("client", path)); errors.Is(err, os.ErrNotExist) {
		lacking(t, "run `npm ci` in occupancyhttp/client: "+program+" is not installed")
	}
	return path
}

func TestTheBrowserClientAgainstThisServer(t *testing.T) {
	site := newNodeSite(t)
	control := httptest.NewServer(site)
	defer control.Close()
	out := node(t, []string{"SITE=http://" + site.address + "/occupancy", "CONTROL=" + control.URL}, "--test", "--test-timeout=20000", "occupancy.test.js")
	if !strings.Contains(out, "# fail 0") || strings.Contains(out, "# pass 0") {
		t.Errorf("%s", out)
	}
}

func TestTheBrowserClientIsUnder3KB(t *testing.T) {
	terser := npm(t, "terser/bin/terser")
	minified := node(t, nil, terser, "occupancy.js", "--module", "--compress", "--mangle")
	if !strings.Contains(minified, "connect") {
		t.Fatalf("this is no client: %s", minified)
	}
	size, err := strconv.Atoi(strings.TrimSpace(node(t, []string{"CODE=" + minified}, "-p", "zlib.gzipSync(process.env.CODE).length")))
	must(t, err)
	if size >= 3000 {
		t.Errorf("%d bytes, minified and gzipped", size)
	}
	t.Logf("%d bytes, minified and gzipped", size)
}

func TestTheTypesCompileStrictly(t *testing.T) {
	tsc := npm(t, "typescript/bin/tsc")
	node(t, nil, tsc, "--project", "types")
	// And they are no loophole: each line that must not compile does not. The @ts-expect-error
	// above it says so to the compiler, which fails if there is none.
	use, err := os.ReadFile("client/types/use.ts")
	must(t, err)
	if n := strings.Count(string(use), "// @ts-expect-error"); n < 5 {
		t.Errorf("%d lines that must not compile", n)
	}
}

// nodeSite is the site that the client's tests use, and what obeys their commands.
type nodeSite struct {
	*http.ServeMux
	engine  *occupancy.Engine
	handler http.Handler
	address string

	mu      sync.Mutex // protects the following
	server  *http.Server
	streams []*http.Request // open ones
	opened  int
	allowed map[string]bool
	changed chan struct{} // closed at the next change of the above
}

func newNodeSite(t *testing.T) *nodeSite {
	s := &nodeSite{
		ServeMux: http.NewServeMux(),
		engine:   newEngine(t, occupancy.WithInterval(5*time.Millisecond)),
		allowed:  map[string]bool{},
		changed:  make(chan struct{}),
	}
	h := occupancyhttp.NewHandler(s.engine, occupancyhttp.WithAuthorize(s.authorize))
	s.handler = http.StripPrefix("/occupancy", s.count(h))
	hook := func(f func(room string) error) func(*http.Request) (int, error) {
		return func(r *http.Request) (int, error) { return 0, f(r.FormValue("room")) }
	}
	for command, obey := range map[string]func(*http.Request) (int, error){
		"join":   hook(s.engine.Join),
		"enter":  hook(func(room string) error { return s.engine.Enter(room, "alice") }),
		"allow":  hook(s.allow),
		"start":  func(*http.Request) (int, error) { return 0, s.start() },
		"stop":   func(*http.Request) (int, error) { return 0, s.stop() },
		"opened": func(*http.Request) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.opened, nil },
		"await":  s.await,
	} {
		s.HandleFunc("POST /"+command, func(w http.ResponseWriter, r *http.Request) {
			n, err := obey(r)
			if err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = fmt.Fprint(w, err)
				return
			}
			_, _ = fmt.Fprint(w, n)
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.address = l.Addr().String()
	s.serve(l)
	t.Cleanup(func() { _ = s.stop() })
	return s
}

func (s *nodeSite) authorize(_ *http.Request, room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(room, "secret") && !s.allowed[room]:
		return errors.New("not for you")
	case strings.HasPrefix(room, "members"):
		return occupancyhttp.ErrUnauthorized
	}
	return nil
}

func (s *nodeSite) allow(room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed[room] = true
	return nil
}

// start has the server come back where it was.
func (s *nodeSite) start() error {
	l, err := net.Listen("tcp", s.address)
	if err == nil {
		s.serve(l)
	}
	return err
}

func (s *nodeSite) serve(l net.Listener) {
	server := &http.Server{Handler: s.handler}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
	go func() { _ = server.Serve(l) }()
}

// stop kills the server: its connections break off.
func (s *nodeSite) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server.Close()
}

// count keeps the list of open streams.
func (s *nodeSite) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			s.change(func() { s.streams, s.opened = append(s.streams, r), s.opened+1 })
			defer s.change(func() {
				s.streams = slices.DeleteFunc(s.streams, func(open *http.Request) bool { return open == r })
			})
		}
		h.ServeHTTP(w, r)
	})
}

func (s *nodeSite) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until so many streams are open, or none is for a room, and says how many are.
func (s *nodeSite) await(r *http.Request) (int, error) {
	deadline := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		open, changed := len(s.streams), s.changed
		there := r.FormValue("streams") == strconv.Itoa(open)
		if room := r.FormValue("room"); room != "" {
			there = !slices.ContainsFunc(s.streams, func(r *http.Request) bool { return slices.Contains(r.URL.Query()["room"], room) })
		}
		s.mu.Unlock()
		if there {
			return open, nil
		}
		select {
		case <-changed:
		case <-deadline:
			return 0, fmt.Errorf("%d streams are open, not as in %s", open, r.URL.RawQuery)
		}
	}
}
