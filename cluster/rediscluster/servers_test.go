package rediscluster_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
)

// Two servers of a Redis Cluster forward messages to each other.
func TestConnect_RedisCluster(t *testing.T) {
	checkGoroutines(t)
	start := func() (s *redisServer, busPort string) {
		_, busPort, _ = net.SplitHostPort(bustest.FreeAddr(t))
		return startRedis(t, "--cluster-enabled", "yes", "--cluster-port", busPort), busPort
	}
	a, _ := start()
	b, busPort := start()
	host, port, _ := net.SplitHostPort(b.addr)
	a.do("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
	b.do("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
	a.do("CLUSTER", "MEET", host, port, busPort)
	for _, s := range []*redisServer{a, b} {
		s.addUser("+cluster|slots", "+cluster|shards")
		bustest.Eventually(t, "the cluster is formed", func() bool {
			info := s.do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
		})
	}
	option := rueidis.ClientOption{InitAddress: []string{a.addr, b.addr}, Username: "node", Password: "secret"}
	for i := range 10 { // each Bus selects one of the servers
		from, to := connect(t, option), connect(t, option)
		for range 100 { // several are sent together
			require.NoError(t, from.Publish(bustest.Context(t), bustest.Heartbeats, nil))
		}
		bustest.Receive(t, from, bustest.Subscribe(t, to, 64, bustest.Digests), fmt.Sprint(i))
	}
}

// When the primary fails, the Bus connects to the new primary.
func TestConnect_Sentinel(t *testing.T) {
	checkGoroutines(t)
	primary := startRedis(t)
	host, port, _ := net.SplitHostPort(primary.addr)
	replica := startRedis(t, "--replicaof", host+" "+port)
	config := bustest.WriteFile(t, fmt.Appendf(nil, "sentinel monitor chat %s %s 1\nsentinel down-after-milliseconds chat 500\nsentinel failover-timeout chat 2000\n", host, port))
	sentinel := startRedisConfig(t, config, "--sentinel")
	for _, s := range []*redisServer{primary, replica} {
		s.addUser("+role")
	}
	option := rueidis.ClientOption{
		InitAddress: []string{sentinel.addr}, Sentinel: rueidis.SentinelOption{MasterSet: "chat"}, Username: "node", Password: "secret",
	}
	from, to := connect(t, option), connect(t, option)
	bustest.AwaitEvent(t, from, cluster.Connected)
	bustest.AwaitEvent(t, to, cluster.Connected)
	in := bustest.Subscribe(t, to, 64, bustest.Digests)
	bustest.Receive(t, from, in, "before")
	bustest.Eventually(t, "the sentinel knows the replica", func() bool {
		return strings.Contains(sentinel.do("SENTINEL", "REPLICAS", "chat"), replica.addr)
	})
	primary.kill()
	bustest.AwaitEvent(t, from, cluster.Disconnected)
	bustest.AwaitEvent(t, from, cluster.Connected)
	bustest.AwaitEvent(t, to, cluster.Connected)
	bustest.Receive(t, from, in, "after")
}
