package embed_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

func TestStart_RejectsInvalidOptions(t *testing.T) {
	for _, c := range []struct {
		opt  embed.Option
		text string
	}{
		{embed.WithUser("a", ""), "WithUser: user or password is empty"},
		{embed.WithPrefix("a.*"), "WithPrefix"},
		{embed.WithClientAdvertise("10.0.0.1:4222"), "WithClientAdvertise requires WithClientListen"},
		{embed.WithClusterAdvertise("10.0.0.1:6222"), "WithClusterAdvertise require WithClusterListen"},
		{embed.WithSeeds("127.0.0.1:7222"), "require WithClusterListen"},
		{embed.WithClusterListen("127.0.0.1"), "WithClusterListen"},
		{embed.WithClusterListen("127.0.0.1:http"), "no port number"},
		{embed.WithClusterListen("127.0.0.1:65536"), "no port number"},
		{embed.WithClientListen("x"), "WithClientListen"},
	} {
		_, err := embed.Start(bustest.Context(t), c.opt)
		require.ErrorContains(t, err, c.text)
	}
	for _, seed := range []string{"127.0.0.1", ":1", "a:0", "a:b", "nats://a:1"} {
		_, err := embed.Start(bustest.Context(t), embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(seed))
		require.ErrorContains(t, err, "WithSeeds", seed)
		_, err = embed.Start(bustest.Context(t), embed.WithClientListen("127.0.0.1:0"), embed.WithClientAdvertise(seed))
		require.ErrorContains(t, err, "WithClientAdvertise", seed)
	}
	_, err := embed.Start(bustest.Context(t), embed.WithToken("a"), embed.WithUser("b", "c"))
	require.ErrorContains(t, err, "give either WithUser or WithToken")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = embed.Start(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestStart_PublicAddressRequiresCredentialsOrTLS(t *testing.T) {
	checkGoroutines(t)
	free, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(free.Addr().String())
	require.NoError(t, free.Close())

	for _, host := range []string{"0.0.0.0", "", "::", "10.1.2.3", "chat.example.com", "0", "::ffff:10.1.2.3"} {
		address := net.JoinHostPort(host, port)
		for _, opt := range []embed.Option{embed.WithClusterListen(address), embed.WithClientListen(address)} {
			_, err := embed.Start(bustest.Context(t), opt)
			require.ErrorContains(t, err, "is not a loopback address: WithUser, WithToken or WithTLS is required", host)
		}
	}
	free, err = net.Listen("tcp", "0.0.0.0:"+port)
	require.NoError(t, err, "nothing listens")
	require.NoError(t, free.Close())

	for _, host := range []string{"127.0.0.1", "127.0.0.9", "localhost"} {
		startSeed(t, embed.WithClusterListen(host+":0"), embed.WithClientListen(host+":0"))
	}
	for _, opt := range []embed.Option{
		embed.WithToken("secret"), embed.WithUser("user", "secret"),
		embed.WithTLS(bustest.NewAuthority(t).NodeConfig()),
	} {
		startSeed(t, opt, embed.WithClusterListen(":0"), embed.WithClientListen("0.0.0.0:0"))
	}
}
