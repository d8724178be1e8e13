package cluster_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestChanges_ReportHealth(t *testing.T) {
	bubble(t, "of peers and reasons, also in the log", func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a", cluster.WithLogger(logger))
		require.True(t, (<-a.node.Changes()).Degraded) // just started
		b := start(t, net, "b")
		require.Len(t, (<-a.node.Changes()).Peers, 1)
		require.False(t, (<-a.node.Changes()).Degraded)
		after(20 * beat)
		require.Empty(t, a.node.Changes())
		b.crash()
		require.Equal(t, cluster.Suspect, (<-a.node.Changes()).Peers[0].State)
		h := <-a.node.Changes()
		require.Equal(t, "missing: b", h.Reasons[0].Text)
		b = start(t, net, "b again", cluster.WithName("b"))
		h = <-a.node.Changes()
		require.Equal(t, b.node.Health().Incarnation, h.Peers[0].Incarnation)
		for h.Degraded {
			h = <-a.node.Changes()
		}
		must(t, b.node.Close())
		require.Empty(t, (<-a.node.Changes()).Peers)
		must(t, a.node.Close())
		_, open := <-a.node.Changes()
		require.False(t, open)
		for _, line := range []string{
			`level=INFO msg="cluster: counts may be incomplete" reasons="this node has just started`,
			`level=INFO msg="cluster: new peer" peer="b `,
			`level=INFO msg="cluster: counts are complete"`, // when it has started
			`level=WARN msg="cluster: peer is suspect" peer="b `,
			`level=WARN msg="cluster: peer is missing" peer="b `,
			`level=WARN msg="cluster: counts may be incomplete" reasons="missing: b"`,
			`level=WARN msg="cluster: counts are complete"`, // when the lost peer has restarted
			`level=INFO msg="cluster: peer has left or was forgotten" peer="b `,
		} {
			require.Contains(t, log.String(), line)
		}
	})
	bubble(t, "the log distinguishes a node from its aggregator", func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		a := start(t, clustertest.NewNetwork(1), "a", cluster.WithAggregator(), cluster.WithLogger(logger))
		after(3 * beat)
		must(t, a.node.Close())
		of := map[bool]int{}
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "counts are complete") {
				of[strings.Contains(line, `node="a (aggregator)"`)]++
			}
		}
		require.Equal(t, map[bool]int{true: 1, false: 1}, of)
	})
	bubble(t, "the newest replaces an unread one", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[1].crash()
		after(lease + 2*beat)
		require.Equal(t, "missing: b", (<-hosts[0].node.Changes()).Reasons[0].Text)
		require.Empty(t, hosts[0].node.Changes())
	})
}

func TestServeHTTP_RespondsWithReasons(t *testing.T) {
	get := func(h *host) (int, string) {
		w := httptest.NewRecorder()
		h.node.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
		return w.Code, w.Body.String()
	}
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, strict := start(t, net, "a"), start(t, net, "strict", cluster.WithStrictReadiness())
		settle()
		code, body := get(a)
		require.Equal(t, 503, code)
		require.Contains(t, body, "not ready")
		after(2 * beat)
		for _, h := range []*host{a, strict} {
			code, body = get(h)
			require.Equal(t, 200, code)
			require.Equal(t, "ok\n", body)
			h.bus.Disconnect()
		}
		settle()
		code, body = get(a)
		require.Equal(t, 200, code)
		require.Equal(t, "the bus is disconnected\n", body)
		code, body = get(strict)
		require.Equal(t, 503, code)
		require.Equal(t, "the bus is disconnected\n", body)
		must(t, a.node.Close())
		code, body = get(a)
		require.Equal(t, 503, code)
		require.Contains(t, body, "not ready: the node is closed\n")
	})
}
