package occupancyhttp_test

import (
	"context"
	"encoding/json"
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

// clientChecks is the directory of the browser client's tests and of the tools that they need.
const clientChecks = "../internal/clientchecks"

// The tests of the browser client need Node.js. Some tests also need the packages that
// `npm ci` installs in clientChecks. If something is missing, skipOrFail skips the test, or
// fails the test if CI=true.
func skipOrFail(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// runNodeJS runs Node.js in clientChecks and returns the output.
func runNodeJS(t *testing.T, env []string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		skipOrFail(t, "Node.js is not installed: the browser client is not tested")
	}
	if version, err := exec.Command(path, "-p", "process.versions.node").Output(); err != nil || majorVersion(version) < 20 {
		skipOrFail(t, fmt.Sprintf("Node.js %s is older than 20: the browser client is not tested", strings.TrimSpace(string(version))))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = clientChecks
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// majorVersion returns the first number of a version, or 0.
func majorVersion(version []byte) int {
	number, _, _ := strings.Cut(string(version), ".")
	n, _ := strconv.Atoi(number)
	return n
}

// npmProgram returns the path of a program that `npm ci` installs.
func npmProgram(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join("node_modules", program)
	if _, err := os.Stat(filepath.Join(clientChecks, path)); errors.Is(err, os.ErrNotExist) {
		skipOrFail(t, program+" is not installed: run `npm ci` in internal/clientchecks")
	}
	return path
}

func TestClient_AgainstHandler(t *testing.T) {
	server := newClientServer(t)
	control := httptest.NewServer(server)
	defer control.Close()
	runTests(t, []string{"BASE=http://" + server.address + "/occupancy", "CONTROL=" + control.URL}, "handler.test.js")
}

// These tests run the client with a server and a clock that are part of the test.
func TestClient_React(t *testing.T) { runTests(t, nil, "react.test.js") }
func TestClient_Feed(t *testing.T)  { runTests(t, nil, "feed.test.js") }
func TestClient_Tabs(t *testing.T)  { runTests(t, nil, "tabs.test.js") }
func TestClient_Lists(t *testing.T) { runTests(t, nil, "rooms.test.js") }

func runTests(t *testing.T, env []string, file string) {
	out := runNodeJS(t, env, "--test", "--test-timeout=120000", file)
	if !strings.Contains(out, "# fail 0") || strings.Contains(out, "# pass 0") {
		t.Errorf("%s", out)
	}
}

func TestClient_Size(t *testing.T) {
	terser := npmProgram(t, "terser/bin/terser")
	for file, limit := range map[string]int{"occupancy.js": 4000, "rooms.js": 512} {
		minified := runNodeJS(t, nil, terser, "../../occupancyhttp/client/"+file, "--module", "--compress", "--mangle")
		if !strings.Contains(minified, "connect") {
			t.Fatalf("not the client: %s", minified)
		}
		size, err := strconv.Atoi(strings.TrimSpace(runNodeJS(t, []string{"CODE=" + minified}, "-p", "zlib.gzipSync(process.env.CODE).length")))
		must(t, err)
		if size > limit {
			t.Errorf("%s: %d bytes, minified and gzipped, want at most %d", file, size, limit)
		}
	}
}

func TestClientTypes_CompileStrictly(t *testing.T) {
	tsc := npmProgram(t, "typescript/bin/tsc")
	runNodeJS(t, nil, tsc, "--project", "types")
	// use.ts also contains lines that must not compile, each below a @ts-expect-error. If
	// such a line compiles, the compiler reports an error.
	use, err := os.ReadFile(clientChecks + "/types/use.ts")
	must(t, err)
	if n := strings.Count(string(use), "// @ts-expect-error"); n < 5 {
		t.Errorf("use.ts has only %d lines that must not compile", n)
	}
}

// Code such as `const { unsubscribe } = …` detaches a function from its object. Linters
// reject this code if the type declares a method (the rule unbound-method), but accept it
// if the type declares a property that contains a function.
func TestClientTypes_DeclarePropertiesInsteadOfMethods(t *testing.T) {
	npmProgram(t, "typescript/bin/tsc")
	const listMethods = `
		const ts = require("typescript");
		const text = fs.readFileSync("../../occupancyhttp/client/occupancy.d.ts", "utf8");
		const count = { properties: 0, methods: [] };
		const visit = (node) => {
			if (ts.isPropertySignature(node)) count.properties++;
			if (ts.isMethodSignature(node)) count.methods.push(node.name.text);
			ts.forEachChild(node, visit);
		};
		visit(ts.createSourceFile("occupancy.d.ts", text, ts.ScriptTarget.Latest, true));
		JSON.stringify(count)`
	var count struct {
		Properties int
		Methods    []string
	}
	must(t, json.Unmarshal([]byte(runNodeJS(t, nil, "-p", listMethods)), &count))
	if count.Properties < 10 || len(count.Methods) > 0 {
		t.Errorf("%d properties, methods %q, want no methods", count.Properties, count.Methods)
	}
}

// clientServer serves the handler to the tests of the client. Its ServeMux executes the
// commands of the tests, which control the server and the engine.
type clientServer struct {
	*http.ServeMux
	engine  *occupancy.Engine
	handler http.Handler
	address string

	mu      sync.Mutex // protects the following fields
	server  *http.Server
	streams []*http.Request // open streams
	opened  int             // number of streams opened so far
	allowed map[string]bool // by room
	changed chan struct{}   // closed and replaced when streams changes
}

func newClientServer(t *testing.T) *clientServer {
	s := &clientServer{
		ServeMux: http.NewServeMux(),
		engine:   newEngine(t, occupancy.WithInterval(5*time.Millisecond)),
		allowed:  map[string]bool{},
		changed:  make(chan struct{}),
	}
	h := occupancyhttp.NewHandler(s.engine, occupancyhttp.WithAuthorize(s.authorize), occupancyhttp.WithLists(newBoard(t, s.engine)))
	s.handler = http.StripPrefix("/occupancy", s.trackStreams(h))
	hook := func(f func(room string) error) func(*http.Request) (int, error) {
		return func(r *http.Request) (int, error) { return 0, f(r.FormValue("room")) }
	}
	for command, execute := range map[string]func(*http.Request) (int, error){
		"join":   hook(s.engine.Join),
		"enter":  hook(func(room string) error { return s.engine.Enter(room, "alice") }),
		"allow":  hook(s.allow),
		"start":  func(*http.Request) (int, error) { return 0, s.start() },
		"stop":   func(*http.Request) (int, error) { return 0, s.stop() },
		"opened": func(*http.Request) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.opened, nil },
		"await":  s.await,
	} {
		s.HandleFunc("POST /"+command, func(w http.ResponseWriter, r *http.Request) {
			n, err := execute(r)
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

func (s *clientServer) authorize(_ *http.Request, room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(room, "secret") && !s.allowed[room]:
		return errors.New("access denied")
	case strings.HasPrefix(room, "members"):
		return occupancyhttp.ErrUnauthorized
	}
	return nil
}

func (s *clientServer) allow(room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed[room] = true
	return nil
}

// start starts the server again at the same address.
func (s *clientServer) start() error {
	l, err := net.Listen("tcp", s.address)
	if err == nil {
		s.serve(l)
	}
	return err
}

func (s *clientServer) serve(l net.Listener) {
	server := &http.Server{Handler: s.handler}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
	go func() { _ = server.Serve(l) }()
}

// stop closes the server and its open connections.
func (s *clientServer) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server.Close()
}

// trackStreams updates the list of open streams.
func (s *clientServer) trackStreams(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			s.update(func() { s.streams, s.opened = append(s.streams, r), s.opened+1 })
			defer s.update(func() {
				s.streams = slices.DeleteFunc(s.streams, func(open *http.Request) bool { return open == r })
			})
		}
		h.ServeHTTP(w, r)
	})
}

// update calls f under mu and notifies await.
func (s *clientServer) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until the given number of streams is open, or until no stream contains the
// given room. It returns the number of open streams.
func (s *clientServer) await(r *http.Request) (int, error) {
	deadline := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		open, changed := len(s.streams), s.changed
		done := r.FormValue("streams") == strconv.Itoa(open)
		if room := r.FormValue("room"); room != "" {
			done = !slices.ContainsFunc(s.streams, func(r *http.Request) bool { return slices.Contains(r.URL.Query()["room"], room) })
		}
		s.mu.Unlock()
		if done {
			return open, nil
		}
		select {
		case <-changed:
		case <-deadline:
			return 0, fmt.Errorf("%d streams are open, timed out waiting for %s", open, r.URL.RawQuery)
		}
	}
}
