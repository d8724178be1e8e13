package embed

import (
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

// WithClusterListen sets the host:port on which this seed accepts connections from other
// seeds. Port 0 selects a free port. Without this option the server has no connections to
// other servers.
func WithClusterListen(address string) natscluster.Option {
	return func(c *config.Config) {
		c.ClusterListen = address
		c.EmbedOnly = append(c.EmbedOnly, "WithClusterListen")
	}
}

// WithSeeds sets the addresses of the other seeds, as host:port. The address of a seed is
// the address in its option [WithClusterListen]. The server connects to each seed and
// retries once a second without limit. The list can contain the seed's own address, so all
// seeds can have the same list.
func WithSeeds(addresses ...string) natscluster.Option {
	return func(c *config.Config) {
		c.Seeds = append(c.Seeds, addresses...)
		c.EmbedOnly = append(c.EmbedOnly, "WithSeeds")
	}
}

// WithClientListen sets the host:port on which this seed accepts connections from other
// nodes. Port 0 selects a free port. Without this option, other nodes cannot connect.
func WithClientListen(address string) natscluster.Option {
	return func(c *config.Config) {
		c.ClientListen = address
		c.EmbedOnly = append(c.EmbedOnly, "WithClientListen")
	}
}
