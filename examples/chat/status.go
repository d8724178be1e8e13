package main

import (
	"net/http"

	"github.com/occupancy/occupancy/cluster"
)

// status is the response to GET /status: what the page shows besides the counts.
type status struct {
	Published uint64        `json:"published"` // events since the start of this chat server
	Bots      int           `json:"bots"`
	Scenes    []sceneStatus `json:"scenes"`
	Nodes     []nodeStatus  `json:"nodes"` // of the cluster, this node first; empty without a cluster
}

type nodeStatus struct {
	Name  string        `json:"name"`
	State cluster.State `json:"state"`
}

func (s *server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	now := status{Published: s.engine.Stats().Published, Nodes: s.node.nodes()}
	now.Bots, now.Scenes = s.crowd.state()
	serveJSON(w, http.StatusOK, marshal(now))
}
