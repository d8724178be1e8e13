package embed_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// Tests of package natscluster that need a server are also in this package, so that the
// module of natscluster does not require a server.

const runServer = "NATSCLUSTER_TEST_SERVER"

// TestMain runs a NATS server instead of the tests if the environment contains runServer.
func TestMain(m *testing.M) {
	if os.Getenv(runServer) == "" {
		os.Exit(m.Run())
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT})
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(bustest.Timeout) {
		panic("the server does not start")
	}
	fmt.Println(s.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin) // run until the test closes the standard input
}

// startProcess starts a NATS server in a separate process.
func startProcess(t testing.TB) (url string, process *os.Process) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), runServer+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	url, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(url), cmd.Process
}

// startServer starts a NATS server that is not embedded. It listens on a free port. The
// function set can change the options; it can be nil.
func startServer(t testing.TB, set func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true}
	if set != nil {
		set(o)
	}
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(bustest.Timeout))
	return s
}

func connect(t testing.TB, urls string, opts ...natscluster.Option) *natscluster.Bus {
	t.Helper()
	b, err := natscluster.Connect(bustest.Context(t), urls, opts...)
	require.NoError(t, err)
	return bustest.CloseAfter(t, b)
}

func startSeed(t testing.TB, opts ...embed.Option) *embed.Bus {
	t.Helper()
	b, err := embed.Start(bustest.Context(t), opts...)
	require.NoError(t, err)
	return bustest.CloseAfter(t, b)
}

// checkGoroutines checks that the goroutines of the Bus, of the NATS client and of the NATS
// server have ended after the test's other cleanup functions.
func checkGoroutines(t testing.TB) {
	bustest.CheckGoroutines(t, "github.com/nats-io/", "cluster/natscluster.")
}
