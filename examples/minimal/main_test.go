package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

const timeout = 30 * time.Second

// startServer runs the server until the end of the test and returns its URL.
func startServer(t *testing.T) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	stopped := make(chan error, 1)
	go func() { stopped <- run(ctx, "127.0.0.1:0", writer) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-stopped)
	})
	return readURL(t, reader)
}

// readURL returns the server's URL, which is part of the program's output.
func readURL(t *testing.T, output io.Reader) string {
	t.Helper()
	lines := bufio.NewScanner(output)
	curl := regexp.MustCompile(`curl (http://\S+)/rooms/lobby/occupancy$`)
	for lines.Scan() {
		if m := curl.FindStringSubmatch(lines.Text()); m != nil {
			return m[1]
		}
	}
	require.FailNow(t, "the program printed no URL", lines.Err())
	return ""
}

// connect opens a stream in the room. cancel closes the stream.
func connect(t *testing.T, url, room string) (stream *bufio.Scanner, cancel func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/rooms/"+room, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	return bufio.NewScanner(resp.Body), cancel
}

func getOccupancy(t *testing.T, url, room string) (o occupancy.Occupancy) {
	t.Helper()
	resp, err := http.Get(url + "/rooms/" + room + "/occupancy")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&o))
	return o
}

func waitConnections(t *testing.T, url, room string, connections int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return getOccupancy(t, url, room) == occupancy.Occupancy{Connections: connections}
	}, timeout, time.Millisecond)
}

// waitForEvent reads the stream until it reports this many connections.
func waitForEvent(t *testing.T, stream *bufio.Scanner, connections int) {
	t.Helper()
	want := fmt.Sprintf(`data: {"type":"occupancy.updated","occupancy":{"connections":%d,"presenceMembers":0}}`, connections)
	for stream.Scan() {
		if stream.Text() == want {
			return
		}
	}
	require.FailNow(t, "the stream ended", stream.Err())
}

func TestStream_IsCountedWhileOpen(t *testing.T) {
	url := startServer(t)
	one, closeOne := connect(t, url, "lobby")
	waitForEvent(t, one, 1)
	two, closeTwo := connect(t, url, "lobby")
	waitForEvent(t, one, 2)
	waitForEvent(t, two, 2)
	_, closeOther := connect(t, url, "night%20owls")
	waitConnections(t, url, "night%20owls", 1)
	require.Equal(t, occupancy.Occupancy{Connections: 2}, getOccupancy(t, url, "lobby"))
	closeTwo()
	waitForEvent(t, one, 1)
	closeOne()
	closeOther()
	waitConnections(t, url, "lobby", 0)
	waitConnections(t, url, "night%20owls", 0)
}

// The engine is closed and refuses all connections. Stats().Refused stays 0, so the handler
// has not tried to count one.
func TestRequestWithoutStream_IsNotCounted(t *testing.T) {
	engine, handler := newHandler()
	require.NoError(t, engine.Close())
	for _, test := range []struct {
		method, room string
		code         int
	}{
		{method: http.MethodHead, room: "lobby", code: http.StatusMethodNotAllowed},
		{method: http.MethodPost, room: "lobby", code: http.StatusMethodNotAllowed},
		{method: http.MethodGet, room: strings.Repeat("x", 1025), code: http.StatusBadRequest},
		{method: http.MethodGet, room: "%ff", code: http.StatusBadRequest},
		{method: http.MethodGet, room: "lobby", code: 0}, // the ResponseWriter cannot stream
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, "/rooms/"+test.room, nil)
		require.NoError(t, err)
		w := &unflushable{header: http.Header{}}
		handler.ServeHTTP(w, req)
		require.Equal(t, test.code, w.code, test)
		require.Zero(t, engine.Stats().Refused, test)
	}
}

// unflushable is a ResponseWriter that cannot stream.
type unflushable struct {
	header http.Header
	code   int
}

func (w *unflushable) Header() http.Header         { return w.header }
func (w *unflushable) Write(b []byte) (int, error) { return len(b), nil }
func (w *unflushable) WriteHeader(code int)        { w.code = code }

// The built program sends events to a client. A signal ends the stream and the program.
func TestProgram_StopsOnSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these signals do not exist on Windows")
	}
	binary := filepath.Join(t.TempDir(), "minimal")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := exec.Command(binary, "-addr", "127.0.0.1:0")
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			defer cmd.Process.Kill()
			stream, _ := connect(t, readURL(t, stdout), "lobby")
			waitForEvent(t, stream, 1)
			require.NoError(t, cmd.Process.Signal(sig))
			for stream.Scan() {
			}
			require.NoError(t, stream.Err(), "the stream ends without an error")
			require.NoError(t, cmd.Wait())
		})
	}
}

func TestRun_AddressInUse(t *testing.T) {
	url := startServer(t)
	err := run(t.Context(), strings.TrimPrefix(url, "http://"), io.Discard)
	require.ErrorContains(t, err, "address already in use")
}
