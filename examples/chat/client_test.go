package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// clientServer serves pages that use the browser client, over HTTP/1.1. The room secret is
// refused.
type clientServer struct {
	*httptest.Server
	t       *testing.T
	engine  *occupancy.Engine
	handler *occupancyhttp.Handler
	polls   atomic.Int64 // JSON requests
}

func serveClient(t *testing.T, pages http.Handler) *clientServer {
	t.Helper()
	s := &clientServer{t: t, engine: occupancy.New(occupancy.WithInterval(10 * time.Millisecond))}
	s.handler = occupancyhttp.NewHandler(s.engine, occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		if room == "secret" {
			return errors.New("denied")
		}
		return nil
	}))
	occupancyPaths := http.StripPrefix("/occupancy", s.handler)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /occupancy/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/occupancy/" {
			s.polls.Add(1)
		}
		occupancyPaths.ServeHTTP(w, r)
	})
	mux.Handle("GET /", pages)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	t.Cleanup(func() { _ = s.engine.Close() }) // first, because Close waits for open streams
	return s
}

// waitStreams waits until n streams with this number of rooms in total are open.
func (s *clientServer) waitStreams(n, rooms int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		stats := s.handler.Stats()
		return stats.Streams == n && stats.Rooms == rooms
	}, 30*time.Second, time.Millisecond, "%+v", s.handler.Stats())
}

// A browser opens only six HTTP/1.1 connections to a host. Ten tabs, each with its own room
// and 300 common rooms with long names, work with two of them.
func TestClient_TenTabsShareStreamInChromium(t *testing.T) {
	browser := chromium(t)
	page := modulePage(`import { connect } from "/occupancy/occupancy.js";
		const client = connect("/occupancy");
		const name = location.search.slice(1);
		const names = Array.from({ length: 300 }, (_, i) => i + "日本語".repeat(10));
		for (const other of [...names, name]) (await client.rooms.get(other)).occupancy.subscribe(() => {});
		const { occupancy } = await client.rooms.get(name);
		const first = await client.rooms.get(names[0]);
		globalThis.shows = (n, m) => client.connection.status === "live" && occupancy.current()?.connections === n && first.occupancy.current()?.connections === m;
		globalThis.get = () => occupancy.get().then((result) => (globalThis.got = result));`)
	s := serveClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, page) }))
	var tabs []*tab
	for i := range 10 {
		tabs = append(tabs, open(t, browser, fmt.Sprintf("%s/?tab%d", s.URL, i)))
	}
	for i, tab := range tabs {
		tab.waitTrue("globalThis.shows?.(0, 0)")
		require.NoError(t, s.engine.Join(fmt.Sprintf("tab%d", i)))
		tab.waitTrue("shows(1, 0)")
	}
	require.Equal(t, 1, s.handler.Stats().Streams)
	require.NoError(t, s.engine.Join("0"+strings.Repeat("日本語", 10))) // does not fit in the stream, so it is polled
	for _, tab := range tabs {
		tab.waitTrue("shows(1, 1)")
		tab.waitTrue("globalThis.got ?? void get()")
	}

	// The first tab has opened the stream. After it is closed, another tab opens a stream.
	tabs[0].close()
	require.NoError(t, s.engine.Join("tab9"))
	tabs[9].waitTrue("shows(2, 1)")
	require.Eventually(t, func() bool { return s.handler.Stats().Streams == 1 }, 30*time.Second, time.Millisecond)
}

// begin: cors
func allowOrigin(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if r.Header.Get("Origin") == origin {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")      // for cookies
			h.Set("Access-Control-Allow-Headers", "Authorization") // for tokens
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// end: cors

// A page of another origin uses the client with a cookie and a token. It can read the headers that
// the client needs.
func TestClient_CrossOriginInChromium(t *testing.T) {
	browser := chromium(t)
	engine := occupancy.New()
	handler := http.StripPrefix("/occupancy", occupancyhttp.NewHandler(engine, occupancyhttp.WithAuthorize(func(r *http.Request, _ string) error {
		if cookie, err := r.Cookie("session"); err != nil || cookie.Value != "1" || r.Header.Get("Authorization") != "Bearer secret" {
			return occupancyhttp.ErrUnauthorized
		}
		return nil
	})))
	mux := http.NewServeMux()
	mux.Handle("GET /occupancy/", handler)
	var origin string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { allowOrigin(origin, mux).ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = engine.Close() })
	page := modulePage(strings.ReplaceAll(`import { connect } from "SERVER/occupancy/occupancy.js";
		document.cookie = "session=1";
		const { rooms, connection } = connect("SERVER/occupancy", {
			fetch: async (url, init) => {
				const response = await fetch(url, { ...init, credentials: "include", headers: { Authorization: "Bearer secret" } });
				globalThis.heartbeat ??= response.headers.get("Occupancy-Heartbeat");
				return response;
			},
		});
		const { occupancy } = await rooms.get("lobby");
		occupancy.subscribe(() => {});
		globalThis.shows = (n) => connection.status === "live" && occupancy.current()?.connections === n;
		globalThis.got = await occupancy.get();`, "SERVER", server.URL))
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, page) }))
	t.Cleanup(pages.Close)
	origin = pages.URL
	tab := open(t, browser, pages.URL+"/")
	tab.waitTrue("shows(0) && got.connections === 0")
	tab.waitTrue(`heartbeat === "15"`)
	require.NoError(t, engine.Join("lobby"))
	tab.waitTrue("shows(1)")
}

// npm runs npm in a directory and returns its output.
func npm(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return runProgram(t, dir, "npm", append(args, "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")...)
}

func runProgram(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %q: %s", program, args, out)
	return string(out)
}

// packClient returns the path of the package that npm publish would upload.
func packClient(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm is not installed")
		}
		t.Skip("npm is not installed")
	}
	dir := t.TempDir()
	client, err := filepath.Abs("../../occupancyhttp/client")
	require.NoError(t, err)
	npm(t, dir, "pack", client)
	packages, err := filepath.Glob(filepath.Join(dir, "occupancy-client-*.tgz"))
	require.NoError(t, err)
	require.Len(t, packages, 1)
	return packages[0]
}

// newProject copies a project of internal/clientchecks, and installs its packages and the
// client there. The versions of all other packages are those of the lock file.
func newProject(t *testing.T, name, clientPackage string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	source := os.DirFS("../../internal/clientchecks/" + name)
	require.NoError(t, os.CopyFS(dir, source))
	npm(t, dir, "ci")
	npm(t, dir, "install", "--no-save", clientPackage)
	return dir
}

// The project is written in TypeScript with React, and built by Vite.
func TestClientPackage_ReactInChromium(t *testing.T) {
	browser := chromium(t)
	dir := newProject(t, "vite", packClient(t))
	runProgram(t, dir, "node", "node_modules/typescript/bin/tsc", "--project", ".")
	runProgram(t, dir, "node", "node_modules/vite/bin/vite.js", "build")
	s := serveClient(t, http.FileServer(http.Dir(filepath.Join(dir, "dist"))))
	require.NoError(t, s.engine.Join("lobby"))

	page := open(t, browser, s.URL+"/")
	waitShows := func(lines ...string) {
		t.Helper()
		page.waitTrue(fmt.Sprintf("document.querySelector('p').textContent === %q", lines[0]))
		for i, line := range lines[1:] {
			page.waitTrue(fmt.Sprintf("document.querySelectorAll('li')[%d].textContent === %q", i, line))
		}
	}
	waitShows("1 connected", "lobby: 1, 0, undefined, live, undefined", "lobby: 1, 0, undefined, live, undefined",
		"secret: undefined, undefined, undefined, live, occupancy: access to this room is denied")
	s.waitStreams(1, 1) // in StrictMode, too
	require.NoError(t, s.engine.Enter("lobby", "alice"))
	waitShows("1 connected", "lobby: 1, 1, undefined, live, undefined")

	page.waitTrue(`void setNames(["lobby", "music"]) || true`) // the second component shows another room now
	waitShows("1 connected", "lobby: 1, 1, undefined, live, undefined", "music: 0, 0, undefined, live, undefined")
	page.waitTrue(`void setNames([""]) || true`)
	waitShows("1 connected", ": undefined, undefined, undefined, live, occupancy: invalid room name: must be 1 to 1024 bytes of UTF-8")
	s.waitStreams(1, 1)
	require.Zero(t, s.polls.Load())
}

func TestClientPackage_WebpackInChromium(t *testing.T) {
	browser := chromium(t)
	dir := newProject(t, "webpack", packClient(t))
	runProgram(t, dir, "node", "build.js")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dist", "index.html"), []byte(`<body><script src="main.js"></script>`), 0o600))
	s := serveClient(t, http.FileServer(http.Dir(filepath.Join(dir, "dist"))))
	open(t, browser, s.URL+"/").waitTrue(`document.body.textContent === "0 connected (live)"`)
}
