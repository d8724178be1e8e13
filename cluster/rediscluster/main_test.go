package rediscluster_test

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// redisServer is a redis-server process.
type redisServer struct {
	t    testing.TB
	args []string
	addr string
	cmd  *exec.Cmd
}

// startRedis starts redis-server on a free port, or the program that the environment variable
// REDIS_SERVER names, for example valkey-server. The test is skipped if it is not installed.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	return startRedisConfig(t, "", args...)
}

// startRedisConfig is like startRedis. The server reads a configuration file.
func startRedisConfig(t testing.TB, config string, args ...string) *redisServer {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("REDIS_SERVER"), "redis-server"))
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("redis-server is not installed")
	}
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(bustest.FreeAddr(t))
	s := &redisServer{t: t, addr: "127.0.0.1:" + port}
	s.args = []string{path}
	if config != "" {
		s.args = append(s.args, config)
	}
	s.args = append(append(s.args, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()), args...)
	t.Cleanup(s.kill)
	s.start()
	return s
}

// start starts the process and waits until it listens.
func (s *redisServer) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	require.NoError(s.t, s.cmd.Start())
	bustest.Eventually(s.t, "redis-server listens", func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// kill kills the process as kill -9 does.
func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *redisServer) option() rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: []string{s.addr}}
}

// do executes a command on a connection of its own.
func (s *redisServer) do(args ...string) string {
	s.t.Helper()
	option := s.option()
	option.ForceSingleClient = true // also for a server of a Redis Cluster
	client, err := rueidis.NewClient(option)
	require.NoError(s.t, err)
	defer client.Close()
	answer, err := client.Do(bustest.Context(s.t), client.B().Arbitrary(args...).Build()).ToAny()
	require.NoError(s.t, err)
	return fmt.Sprint(answer)
}

// addUser adds the user "node" with the permissions of the package comment and further ones.
func (s *redisServer) addUser(further ...string) {
	s.t.Helper()
	s.do(append([]string{"ACL", "SETUSER", "node", "on", ">secret", "resetchannels", "&occupancy.v1.*",
		"+publish", "+subscribe", "+unsubscribe", "+ping", "+hello", "+client"}, further...)...)
}

func connect(t testing.TB, option rueidis.ClientOption, opts ...rediscluster.Option) *rediscluster.Bus {
	t.Helper()
	b, err := rediscluster.Connect(bustest.Context(t), option, opts...)
	require.NoError(t, err)
	return bustest.CloseAfter(t, b)
}

// checkGoroutines checks that the goroutines of the Bus and of its client have ended after
// the test's other cleanup functions.
func checkGoroutines(t testing.TB) {
	bustest.CheckGoroutines(t, "redis/rueidis.", "cluster/rediscluster.")
}
