package embed

import (
	"context"
	"fmt"
	"slices"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

// Bus is a [natscluster.Bus] that is connected to a NATS server in this process. Close
// also shuts down the server.
type Bus struct {
	*natscluster.Bus
	server *embeddedServer
}

var _ cluster.Bus = (*Bus)(nil)

// Start runs a NATS server inside the process and returns a Bus that is connected to it.
// The options are those of this package and of natscluster, except
// natscluster.WithNkeyFile and natscluster.WithCredentialsFile. Without options the
// server serves this node only.
//
// An address that is not a loopback address requires natscluster.WithUser,
// natscluster.WithToken or natscluster.WithTLS. Otherwise Start returns an error before
// the server listens.
//
// Start does not wait until the server is connected to other seeds. [Bus.Routes] returns the
// number of these connections. If WithSeeds contains other seeds, Events reports
// Disconnected while this number is 0. Publish then reaches only the clients of this server.
func Start(ctx context.Context, opts ...natscluster.Option) (*Bus, error) {
	c, err := config.New(opts)
	if len(c.ConnectOnly) > 0 {
		return nil, fmt.Errorf("embed: %s applies to natscluster.Connect only", c.ConnectOnly[0])
	}
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	settings, err := serverOptions(c)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := startServer(settings, c)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	inProcess := func(c *config.Config) {
		c.Server = &config.Server{
			URL:      s.url,
			Token:    settings.Authorization,
			Dial:     s.InProcessConn,
			Shutdown: s.shutdown,
		}
		if slices.ContainsFunc(c.Seeds, func(seed string) bool { return seed != s.clusterAddr && seed != c.ClusterListen }) {
			c.Server.Isolated = func() bool { return s.NumRoutes() == 0 }
		}
	}
	bus, err := natscluster.Connect(ctx, s.url, append(slices.Clip(opts), inProcess)...)
	if err != nil {
		s.shutdown()
		return nil, fmt.Errorf("embed: %w", err)
	}
	return &Bus{bus, s}, nil
}

// ClientURL returns the URL, nats://host:port, at which other nodes connect to the
// server. It contains no credentials. Without [WithClientListen] it is empty.
func (b *Bus) ClientURL() string { return b.server.clientURL }

// ClusterAddr returns the host:port on which the server accepts connections from other
// seeds. Without [WithClusterListen] it is empty.
func (b *Bus) ClusterAddr() string { return b.server.clusterAddr }

// Routes returns the number of other seeds to which the server is connected or is about
// to connect.
func (b *Bus) Routes() int { return b.server.NumRoutes() }
