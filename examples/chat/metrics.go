package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
	"github.com/occupancy/occupancy/occupancyprom"
	"github.com/occupancy/occupancy/trending"
)

// newMetricsHandler returns the handler of GET /metrics. It exports the metrics of the engine,
// the ten most popular rooms, the streams, the board and the cluster. node is nil without a cluster.
func newMetricsHandler(engine *occupancy.Engine, board *trending.Board, handler *occupancyhttp.Handler, node *clusterNode) http.Handler {
	// begin: metrics
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		occupancyprom.NewCollector(engine, occupancyprom.WithTopRooms(10, board)),
		occupancyprom.NewHTTPCollector(handler),
		occupancyprom.NewTrendingCollector(board),
	)
	// end: metrics
	if node != nil {
		registry.MustRegister(occupancyprom.NewClusterCollector(node.node.Health))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
