package occupancyprom

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy/occupancyhttp"
)

// NewHTTPCollector returns a collector of the streams of h.
func NewHTTPCollector(h *occupancyhttp.Handler) prometheus.Collector { return httpCollector{h} }

type httpCollector struct{ handler *occupancyhttp.Handler }

var httpMetrics = []metric[occupancyhttp.Stats]{
	gauge("http_streams", "Open streams.",
		func(s *occupancyhttp.Stats) float64 { return float64(s.Streams) }),
	gauge("http_rooms", "Rooms of the open streams. A room of several streams counts once.",
		func(s *occupancyhttp.Stats) float64 { return float64(s.Rooms) }),
	counter("http_streams_opened_total", "Streams opened.",
		func(s *occupancyhttp.Stats) float64 { return float64(s.Opened) }),
	counter("http_streams_too_slow_total", "Streams closed because a write took longer than ten seconds.",
		func(s *occupancyhttp.Stats) float64 { return float64(s.TooSlow) }),
}

var streamsRefusedDesc = prometheus.NewDesc("occupancy_http_streams_refused_total",
	"Requests for a stream that were refused, by the code of the error.", []string{"code"}, nil)

func (c httpCollector) Describe(descs chan<- *prometheus.Desc) {
	describe(httpMetrics, descs)
	descs <- streamsRefusedDesc
}

func (c httpCollector) Collect(out chan<- prometheus.Metric) {
	s := c.handler.Stats()
	collect(httpMetrics, &s, out)
	// Alerts miss the first increase of a series that begins with it, so the series of the
	// limits exist from the start.
	refused := map[string]uint64{"stream_limit": 0, "client_limit": 0}
	maps.Copy(refused, s.Refused)
	for code, n := range refused {
		out <- prometheus.MustNewConstMetric(streamsRefusedDesc, prometheus.CounterValue, float64(n), code)
	}
}
