package natscluster_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/natscluster"
)

func TestConnect_RejectsInvalidArguments(t *testing.T) {
	const url = "nats://127.0.0.1:4222"
	for _, c := range []struct {
		urls string
		opt  natscluster.Option
		text string
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
		{url, natscluster.WithTLS(nil), "WithTLS"},
		{url, natscluster.WithNkeyFile("missing"), "WithNkeyFile"},
		{url, natscluster.WithCredentialsFile(filepath.Join(t.TempDir(), "missing")), "missing"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := natscluster.Connect(ctx, c.urls, c.opt)
		require.ErrorContains(t, err, c.text, c.urls)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.NotContains(t, err.Error(), "pass word")
	}
	_, err := natscluster.Connect(t.Context(), url, natscluster.WithToken("a"), natscluster.WithUser("b", "c"))
	require.ErrorContains(t, err, "[WithToken WithUser]: give only one of these options")
}
