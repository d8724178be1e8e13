package rediscluster_test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

// Two servers of a Redis Cluster forward messages to each other.
func TestConnect_RedisCluster(t *testing.T) {
	checkGoroutines(t)
	start := func() (s *redisServer, busPort string) {
		_, busPort, _ = net.SplitHostPort(freeAddr(t))
		return startRedis(t, "--cluster-enabled", "yes", "--cluster-port", busPort), busPort
	}
	a, _ := start()
	b, busPort := start()
	cli := func(s *redisServer, args ...string) string {
		_, port, _ := net.SplitHostPort(s.addr)
		out, err := exec.Command("redis-cli", append([]string{"-p", port}, args...)...).CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	host, port, _ := net.SplitHostPort(b.addr)
	cli(a, "CLUSTER", "ADDSLOTSRANGE", "0", "8191")
	cli(b, "CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
	cli(a, "CLUSTER", "MEET", host, port, busPort)
	for _, s := range []*redisServer{a, b} {
		eventually(t, "the cluster is formed", func() bool {
			info := cli(s, "CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
		})
	}
	option := rueidis.ClientOption{InitAddress: []string{a.addr, b.addr}}
	for i := range 10 { // each Bus selects one of the servers
		from, to := connect(t, option), connect(t, option)
		receive(t, from, subscribe(t, to, 64, digests), fmt.Sprint(i))
	}
}

// When the primary fails, the Bus connects to the new primary.
func TestConnect_Sentinel(t *testing.T) {
	checkGoroutines(t)
	primary := startRedis(t)
	host, port, _ := net.SplitHostPort(primary.addr)
	replica := startRedis(t, "--replicaof", host+" "+port)
	config := writeFile(t, fmt.Sprintf("sentinel monitor chat %s %s 1\nsentinel down-after-milliseconds chat 500\nsentinel failover-timeout chat 2000\n", host, port))
	sentinel := startRedisConfig(t, config, "--sentinel")
	option := rueidis.ClientOption{InitAddress: []string{sentinel.addr}, Sentinel: rueidis.SentinelOption{MasterSet: "chat"}}
	from, to := connect(t, option), connect(t, option)
	awaitEvent(t, from, cluster.Connected)
	awaitEvent(t, to, cluster.Connected)
	in := subscribe(t, to, 64, digests)
	receive(t, from, in, "before")
	eventually(t, "the sentinel knows the replica", func() bool {
		return strings.Contains(sentinel.do("SENTINEL", "REPLICAS", "chat"), replica.addr)
	})
	primary.kill()
	awaitEvent(t, from, cluster.Disconnected)
	awaitEvent(t, from, cluster.Connected)
	awaitEvent(t, to, cluster.Connected)
	receive(t, from, in, "after")
}
