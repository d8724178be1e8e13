package embed_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// logBuffer collects a log. Searches in the log ignore case.
type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logBuffer) contains(text string) bool { return l.count(text) > 0 }

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(strings.ToLower(l.all.String()), strings.ToLower(text))
}

func (l *logBuffer) option() natscluster.Option {
	return natscluster.WithLogger(slog.New(slog.NewTextHandler(l, nil)))
}

func TestConnect_RejectsOptionsOfEmbed(t *testing.T) {
	for text, opt := range map[string]natscluster.Option{
		"WithSeeds applies to embed.Start only":         embed.WithSeeds("127.0.0.1:1"),
		"WithClusterListen applies to embed.Start only": embed.WithClusterListen("127.0.0.1:1"),
		"WithClientListen applies to embed.Start only":  embed.WithClientListen("127.0.0.1:1"),
	} {
		_, err := natscluster.Connect(timeoutContext(t), "nats://127.0.0.1:4222", opt, natscluster.WithToken(""))
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "WithToken")
	}
}

func TestStart_RejectsInvalidOptions(t *testing.T) {
	_, _, seed := newKey(t, nkeys.CreateUser)
	for _, c := range []struct {
		opt  natscluster.Option
		text string
	}{
		{natscluster.WithNkeyFile(writeFile(t, seed)), "WithNkeyFile applies to natscluster.Connect only"},
		{natscluster.WithNkeyFile("missing"), "WithNkeyFile applies to natscluster.Connect only"},
		{natscluster.WithCredentialsFile("missing"), "WithCredentialsFile applies to natscluster.Connect only"},
		{natscluster.WithToken(""), "WithToken: token is empty"},
		{embed.WithSeeds("127.0.0.1:7222"), "WithSeeds requires WithClusterListen"},
		{embed.WithClusterListen("127.0.0.1"), "WithClusterListen"},
		{embed.WithClusterListen("127.0.0.1:http"), "no port number"},
		{embed.WithClusterListen("127.0.0.1:65536"), "no port number"},
		{embed.WithClientListen("x"), "WithClientListen"},
	} {
		_, err := embed.Start(timeoutContext(t), c.opt)
		require.ErrorContains(t, err, c.text)
		require.NotErrorIs(t, err, os.ErrNotExist, "Start rejects the option whether the file exists or not")
	}
	for _, seed := range []string{"127.0.0.1", ":1", "a:0", "a:b", "nats://a:1"} {
		_, err := embed.Start(timeoutContext(t), embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(seed))
		require.ErrorContains(t, err, "WithSeeds", seed)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := embed.Start(ctx)
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
		for _, opt := range []natscluster.Option{embed.WithClusterListen(address), embed.WithClientListen(address)} {
			_, err := embed.Start(timeoutContext(t), opt)
			require.ErrorContains(t, err, "is not a loopback address: WithUser, WithToken or WithTLS is required", host)
		}
	}
	free, err = net.Listen("tcp", "0.0.0.0:"+port)
	require.NoError(t, err, "nothing listens")
	require.NoError(t, free.Close())

	for _, host := range []string{"127.0.0.1", "127.0.0.9", "localhost"} {
		startSeed(t, embed.WithClusterListen(host+":0"), embed.WithClientListen(host+":0"))
	}
	for _, opt := range []natscluster.Option{
		natscluster.WithToken("secret"), natscluster.WithUser("user", "secret"),
		natscluster.WithTLS(newAuthority(t).nodeConfig()),
	} {
		startSeed(t, opt, embed.WithClusterListen(":0"), embed.WithClientListen("0.0.0.0:0"))
	}
}
