package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// The text parser of Prometheus must accept the response.
func TestMetrics_ParsedByPrometheus(t *testing.T) {
	s := start(t, longTimeouts)
	ws := s.dial("night%20owls")
	s.dial("lobby")
	s.dial("lobby")
	require.NoError(t, send(ws, `{"type":"enter","clientId":"alice"}`))
	s.waitOccupancy("night owls", 1, 1)
	s.waitOccupancy("lobby", 2, 0)
	s.waitUntil(func() bool {
		top := s.board.Popular(2)
		return len(top) == 2 && top[0].Occupancy.Connections == 2 && top[1].Occupancy.PresenceMembers == 1
	})
	s.waitUntil(func() bool {
		total := s.engine.Stats().Total
		return total.Connections == 3 && total.PresenceMembers == 1
	})

	resp, err := smallBufferClient.Get("http://" + s.addr + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain"))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 3.0, families["occupancy_connections"].Metric[0].GetGauge().GetValue())
	require.Equal(t, 1.0, families["occupancy_presence_members"].Metric[0].GetGauge().GetValue())
	require.Equal(t, 2.0, families["occupancy_service_rooms"].Metric[0].GetGauge().GetValue())
	require.Positive(t, families["occupancy_events_published_total"].Metric[0].GetCounter().GetValue())
	require.Zero(t, families["occupancy_http_streams"].Metric[0].GetGauge().GetValue())
	rooms := map[string]float64{}
	for _, m := range families["occupancy_room_connections"].Metric {
		rooms[m.Label[0].GetValue()] = m.GetGauge().GetValue()
	}
	require.Equal(t, map[string]float64{"lobby": 2, "night owls": 1}, rooms)
}
