package rediscluster_test

import (
	"context"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// The region of this file is shown in docs/cluster.md.
func startNode(ctx context.Context, engine *occupancy.Engine, url string, use func(*cluster.Node)) error {
	// begin: connect
	option, err := rueidis.ParseURL(url) // for example "redis://:password@10.0.0.1:6379", or "rediss://" for TLS
	if err != nil {
		return err
	}
	bus, err := rediscluster.Connect(ctx, option)
	if err != nil {
		return err
	}
	defer bus.Close(context.Background())
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName("chat-1"))
	// end: connect
	if err != nil {
		return err
	}
	defer node.Close()
	use(node)
	return nil
}

func TestDocs_Connect(t *testing.T) {
	checkGoroutines(t)
	engine := occupancy.New()
	defer engine.Close()
	require.NoError(t, startNode(bustest.Context(t), engine, "redis://"+startRedis(t).addr, func(node *cluster.Node) {
		require.NoError(t, node.Ready(bustest.Context(t)))
	}))
}
