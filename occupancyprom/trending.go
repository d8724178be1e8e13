package occupancyprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy/trending"
)

// NewTrendingCollector returns a collector of the work of a board.
func NewTrendingCollector(b *trending.Board) prometheus.Collector { return trendingCollector{b} }

type trendingCollector struct{ board *trending.Board }

var trendingMetrics = []metric[trending.Stats]{
	counter("trending_changes_total", "Changes of rooms that the board has applied.",
		func(s *trending.Stats) float64 { return float64(s.Changes) }),
	counter("trending_busy_seconds_total", "Time that the board has spent on applying changes and publishing lists.",
		func(s *trending.Stats) float64 { return s.Busy.Seconds() }),
}

func (c trendingCollector) Describe(descs chan<- *prometheus.Desc) { describe(trendingMetrics, descs) }

func (c trendingCollector) Collect(out chan<- prometheus.Metric) {
	s := c.board.Stats()
	collect(trendingMetrics, &s, out)
}
