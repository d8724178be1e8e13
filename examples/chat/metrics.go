package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyprom"
	"github.com/occupancy/occupancy/trending"
)

// newMetricsHandler returns the handler of GET /metrics. It exports the metrics of the engine,
// the counts of the ten most popular rooms, and the metrics of the cluster.
func newMetricsHandler(engine *occupancy.Engine, board *trending.Board, node *clusterNode) http.Handler {
	// begin: metrics
	registry := prometheus.NewRegistry()
	registry.MustRegister(occupancyprom.NewCollector(engine, occupancyprom.WithTopRooms(10,
		func(k int) (top []occupancyprom.Room) {
			for _, r := range board.Popular(k) {
				top = append(top, occupancyprom.Room{Name: r.Name, Occupancy: r.Occupancy})
			}
			return top
		})))
	// end: metrics
	if node != nil {
		registry.MustRegister(occupancyprom.NewClusterCollector(node.node.Health))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
