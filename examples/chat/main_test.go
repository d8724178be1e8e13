package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestRun_ExitCodes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for name, test := range map[string]struct {
		args    []string
		code    int
		message string
	}{
		"help":         {[]string{"-h"}, 0, "-bots n"},
		"unknown flag": {[]string{"-robots", "3"}, 2, "not defined: -robots"},
		"no number":    {[]string{"-bots", "many"}, 2, `invalid value "many"`},
		"fewer than 0": {[]string{"-bots", "-1"}, 2, "-bots is -1, must be 0 to 10000"},
		"too many":     {[]string{"-bots", "10001"}, 2, "-bots is 10001, must be 0 to 10000"},
		"argument":     {[]string{"8080"}, 2, `unexpected argument "8080"`},
		"no address":   {[]string{"-addr", "here"}, 1, "missing port in address"},
		"port in use":  {[]string{"-addr", listener.Addr().String()}, 1, "address already in use"},
		"not a seed":   {[]string{"-cluster-client", "127.0.0.1:4222"}, 2, "-cluster-client requires -cluster"},
		"both servers": {[]string{"-cluster", "-nats", "localhost"}, 2, "exclude each other"},
		"name alone":   {[]string{"-name", "chat-1"}, 2, "-name requires -cluster, -nats or -redis"},
		"empty URL":    {[]string{"-nats", ""}, 2, "-nats is empty"},
		"flag and arg": {[]string{"-bots", "3", "more"}, 2, `unexpected argument "more"`},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.Equal(t, test.code, run(t.Context(), test.args, &out))
			require.Contains(t, out.String(), test.message)
		})
	}
}

func TestClientAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:80":     "localhost:80",
		"[::]:80":        "localhost:80",
		"127.0.0.1:80":   "127.0.0.1:80",
		"[2001:db8::]:1": "[2001:db8::]:1",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		require.NoError(t, err)
		require.Equal(t, want, clientAddress(a))
	}
}

// The built program runs with bots until a signal stops it.
func TestProgram_StopsOnSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these signals do not exist on Windows")
	}
	binary := build(t, ".")
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := exec.Command(binary, "-addr", "127.0.0.1:0", "-bots", "30")
			stderr, err := cmd.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			defer cmd.Process.Kill()

			// The program prints the URL of the room's occupancy.
			lines := bufio.NewReader(stderr)
			url := regexp.MustCompile(`curl (http://.*)/rooms/lobby`)
			var baseURL string
			for baseURL == "" {
				line, err := lines.ReadString('\n')
				require.NoError(t, err)
				if m := url.FindStringSubmatch(line); m != nil {
					baseURL = m[1]
				}
			}
			require.Eventually(t, func() bool {
				resp, err := http.Get(baseURL + "/rooms/lobby")
				require.NoError(t, err)
				defer resp.Body.Close()
				var o occupancy.Occupancy
				require.NoError(t, json.NewDecoder(resp.Body).Decode(&o))
				return o.Connections > 0 && o.PresenceMembers > 0
			}, time.Minute, 10*time.Millisecond)

			ws, _, err := websocket.Dial(t.Context(), baseURL+"/ws/lobby", nil)
			require.NoError(t, err)
			defer ws.CloseNow()
			require.NoError(t, cmd.Process.Signal(sig))
			require.Equal(t, errStopping, error(readClose(t, ws)))
			rest, err := io.ReadAll(lines)
			require.NoError(t, err)
			require.NoError(t, cmd.Wait()) // the exit code is 0
			require.Contains(t, string(rest), "stopped\n")
		})
	}
}
