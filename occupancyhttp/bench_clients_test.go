package occupancyhttp_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The benchmarks run their clients in a second process. So the measured memory is that of
// the server alone, and no process needs 20,000 open files.

const allReceived = "all received"

const clientsEnv = "OCCUPANCYHTTP_CLIENTS" // "address count path"; each %d in path is replaced with the number of the client

func TestMain(m *testing.M) {
	if config := os.Getenv(clientsEnv); config != "" {
		var address, path string
		var count int
		_, err := fmt.Sscan(config, &address, &count, &path)
		if err == nil {
			err = runClients(address, count, path)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runClients opens the streams, and prints a line each time all streams have received one
// more event. It reads the streams one after another. Most events have already arrived
// when their stream is read, so the clients leave most of the CPU time to the server.
func runClients(address string, count int, path string) error {
	streams := make([]*bufio.Reader, count)
	for i := range streams {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if _, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: server\r\n\r\n", strings.ReplaceAll(path, "%d", strconv.Itoa(i))); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		streams[i] = bufio.NewReaderSize(resp.Body, 512)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent process exits or calls stop
		os.Exit(0)
	}()
	for {
		for _, stream := range streams {
			for data := false; !data; {
				line, err := stream.ReadSlice('\n')
				if err != nil {
					return err
				}
				data = bytes.HasPrefix(line, []byte("data: "))
			}
		}
		fmt.Println(allReceived)
	}
}

// clientProcess is a child process that executes runClients.
type clientProcess struct {
	lines *bufio.Scanner
	stop  func()
}

func startClients(tb testing.TB, address string, count int, path string) *clientProcess {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", clientsEnv, address, count, path))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	})
	tb.Cleanup(stop)
	return &clientProcess{bufio.NewScanner(stdout), stop}
}

// awaitEvent waits until every stream has received one more event.
func (c *clientProcess) awaitEvent(tb testing.TB) {
	if !c.lines.Scan() || c.lines.Text() != allReceived {
		tb.Helper()
		tb.Fatalf("the client process failed: %s %v", c.lines.Text(), c.lines.Err())
	}
}
