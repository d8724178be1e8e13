package natscluster_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/natscluster"
)

// logged keeps what is logged, and looks into it without regard to case.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.ToLower(l.all.String()), strings.ToLower(text))
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(strings.ToLower(l.all.String()), strings.ToLower(text))
}

func (l *logged) option() natscluster.Option {
	return natscluster.WithLogger(slog.New(slog.NewTextHandler(l, nil)))
}

func TestConnect_RefusesWhatCannotBeMeant(t *testing.T) {
	const url = "nats://127.0.0.1:4222"
	for _, c := range []struct {
		urls string
		opt  natscluster.Option
		says string
	}{
		{"", natscluster.WithName("a"), "server 1 of the list is not a URL"},
		{url + ",", natscluster.WithName("a"), "server 2 of the list is not a URL"},
		{"http://127.0.0.1:8080", natscluster.WithName("a"), "server 1 of the list is not a URL"},
		{"nats://user:pass word@:1", natscluster.WithName("a"), "server 1 of the list is not a URL"},
		{url, natscluster.WithPrefix("a.*"), "WithPrefix"},
		{url, natscluster.WithPrefix("$SYS"), "WithPrefix"},
		{url, natscluster.WithPrefix(""), "WithPrefix"},
		{url, natscluster.WithPrefix("a..b"), "WithPrefix"},
		{url, natscluster.WithUser("a", ""), "WithUser"},
		{url, natscluster.WithToken(""), "WithToken"},
		{url, natscluster.WithNkeyFile("missing"), "WithNkeyFile"},
		{url, natscluster.WithSeeds("127.0.0.1:1"), "WithSeeds is for Embed"},
		{url, natscluster.WithClusterListen("127.0.0.1:1"), "WithClusterListen is for Embed"},
		{url, natscluster.WithClientListen("127.0.0.1:1"), "WithClientListen is for Embed"},
		{url, func() natscluster.Option {
			return natscluster.WithCredentialsFile(filepath.Join(t.TempDir(), "missing"))
		}(), "missing"},
	} {
		_, err := natscluster.Connect(soon(t), c.urls, c.opt)
		require.ErrorContains(t, err, c.says, c.urls)
		require.NotContains(t, err.Error(), "pass word")
	}
	_, err := natscluster.Connect(soon(t), url, natscluster.WithToken("a"), natscluster.WithUser("b", "c"))
	require.ErrorContains(t, err, "one set of credentials")
}

func TestEmbed_RefusesWhatCannotBeMeant(t *testing.T) {
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := key.Seed()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "nkey")
	require.NoError(t, os.WriteFile(file, seed, 0o600))
	for _, c := range []struct {
		opt  natscluster.Option
		says string
	}{
		{natscluster.WithNkeyFile(file), "WithNkeyFile is for Connect"},
		{natscluster.WithSeeds("127.0.0.1:7222"), "WithSeeds needs WithClusterListen"},
		{natscluster.WithClusterListen("127.0.0.1"), "WithClusterListen"},
		{natscluster.WithClusterListen("127.0.0.1:http"), "no port number"},
		{natscluster.WithClusterListen("127.0.0.1:65536"), "no port number"},
		{natscluster.WithClientListen("x"), "WithClientListen"},
	} {
		_, err := natscluster.Embed(soon(t), c.opt)
		require.ErrorContains(t, err, c.says)
	}
	for _, seed := range []string{"127.0.0.1", ":1", "a:0", "a:b", "nats://a:1"} {
		_, err := natscluster.Embed(soon(t), natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(seed))
		require.ErrorContains(t, err, "WithSeeds", seed)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = natscluster.Embed(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestEmbed_ListensOffLoopbackOnlyWithCredentialsOrTLS(t *testing.T) {
	leavesNothing(t)
	free, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(free.Addr().String())
	require.NoError(t, free.Close())

	for _, host := range []string{"0.0.0.0", "", "::", "10.1.2.3", "chat.example.com", "0", "::ffff:10.1.2.3"} {
		address := net.JoinHostPort(host, port)
		for _, opt := range []natscluster.Option{natscluster.WithClusterListen(address), natscluster.WithClientListen(address)} {
			_, err := natscluster.Embed(soon(t), opt)
			require.ErrorContains(t, err, "can be reached from elsewhere: it needs WithUser, WithToken or WithTLS", host)
		}
	}
	free, err = net.Listen("tcp", "0.0.0.0:"+port)
	require.NoError(t, err, "nothing listens")
	require.NoError(t, free.Close())

	for _, host := range []string{"127.0.0.1", "127.0.0.9", "localhost"} {
		embed(t, natscluster.WithClusterListen(host+":0"), natscluster.WithClientListen(host+":0"))
	}
	ours := newAuthority(t)
	for _, opt := range []natscluster.Option{
		natscluster.WithToken("secret"), natscluster.WithUser("user", "secret"), natscluster.WithTLS(ours.node()),
	} {
		embed(t, opt, natscluster.WithClusterListen(":0"), natscluster.WithClientListen("0.0.0.0:0"))
	}
}
