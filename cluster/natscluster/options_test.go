package natscluster_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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
		{"nats://user:pass word@:1", natscluster.WithPrefix("a"), "the list of servers contains an invalid URL"},
		{url, natscluster.WithPrefix("a.*"), "WithPrefix"},
		{url, natscluster.WithPrefix("$SYS"), "WithPrefix"},
		{url, natscluster.WithPrefix(""), "WithPrefix"},
		{url, natscluster.WithPrefix("a..b"), "WithPrefix"},
		{url, natscluster.WithNATS(nats.RootCAs(filepath.Join(t.TempDir(), "missing"))), "missing"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := natscluster.Connect(ctx, c.urls, c.opt)
		require.ErrorContains(t, err, c.text, c.urls)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.NotContains(t, err.Error(), "pass word")
	}
}
