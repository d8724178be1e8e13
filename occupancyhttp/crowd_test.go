package occupancyhttp_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A crowd is many clients with an open stream each, in a process of their own: so their
// memory is not taken for the server's, and one process needs no 20,000 files.

const crowdEnv = "OCCUPANCYHTTP_CROWD" // "address size path"; a %d in path is the client's number

func TestMain(m *testing.M) {
	if what := os.Getenv(crowdEnv); what != "" {
		var address, path string
		var size int
		_, err := fmt.Sscan(what, &address, &size, &path)
		if err == nil {
			err = beCrowd(address, size, path)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beCrowd opens the streams, and prints a line each time all of them have had another
// event. It reads one after the other: by the time it comes to a stream the event is
// mostly there, so it takes little of the cores that the server is to have.
func beCrowd(address string, size int, path string) error {
	streams := make([]*bufio.Reader, size)
	for i := range streams {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if _, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: crowd\r\n\r\n", strings.Replace(path, "%d", strconv.Itoa(i), 1)); err != nil {
			return err
		}
		streams[i] = bufio.NewReaderSize(conn, 512)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent goes
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
		fmt.Println("all")
	}
}

// crowd is the parent's end of one.
type crowd struct {
	lines *bufio.Scanner
	leave func()
}

func newCrowd(tb testing.TB, address string, size int, path string) *crowd {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", crowdEnv, address, size, path))
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
	leave := sync.OnceFunc(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	})
	tb.Cleanup(leave)
	return &crowd{bufio.NewScanner(stdout), leave}
}

// all waits until every stream has had one more event.
func (c *crowd) all(tb testing.TB) {
	if !c.lines.Scan() || c.lines.Text() != "all" {
		tb.Helper()
		tb.Fatalf("the crowd broke up: %s %v", c.lines.Text(), c.lines.Err())
	}
}
