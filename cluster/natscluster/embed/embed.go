package embed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// Bus is a [cluster.Bus] on a NATS server in this process. All methods can be called from any
// goroutine. The methods that are not documented here are those of [natscluster.Bus].
type Bus struct {
	*clientBus
	server *embeddedServer
	events *cluster.BusEvents
}

type clientBus = natscluster.Bus

var _ cluster.Bus = (*Bus)(nil)

// Start runs a NATS server inside the process and returns a Bus that is connected to it.
// Without options the server serves this node only.
//
// An address that is not a loopback address requires [WithUser], [WithToken] or [WithTLS].
// Otherwise Start returns an error before the server listens.
//
// Start does not wait until the server is connected to other seeds. [Bus.Routes] returns the
// number of these connections. If WithSeeds contains other seeds, Events reports
// Disconnected while this number is 0. Publish then reaches only the clients of this server.
func Start(ctx context.Context, opts ...Option) (*Bus, error) {
	b, err := start(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	return b, nil
}

func start(ctx context.Context, opts []Option) (*Bus, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	settings, err := serverOptions(c)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	token := settings.Authorization // the server can change its settings
	s, err := startServer(settings, c)
	if err != nil {
		return nil, err
	}
	login := natscluster.WithNATS(nats.InProcessServer(s), nats.UserInfo(c.user, c.password), nats.Token(token))
	client, err := natscluster.Connect(ctx, s.url, append(c.bus, login)...)
	if err != nil {
		s.shutdown()
		return nil, err
	}
	b := &Bus{client, s, cluster.NewBusEvents()}
	go b.forwardEvents(c)
	return b, nil
}

// routeInterval is the time between two checks of the connections to other seeds.
const routeInterval = 100 * time.Millisecond

// forwardEvents forwards the events of the client until the Bus is closed. If other seeds are
// configured, the Bus is disconnected while the server is not connected to any of them.
func (b *Bus) forwardEvents(c *config) {
	connected, isolated, tick := false, false, (<-chan time.Time)(nil)
	if slices.ContainsFunc(c.seeds, func(seed string) bool {
		return seed != b.server.clusterAddr && seed != c.clusterListen && seed != c.clusterAdvertise
	}) {
		ticker := time.NewTicker(routeInterval)
		defer ticker.Stop()
		isolated, tick = true, ticker.C
	}
	for {
		select {
		case e, open := <-b.clientBus.Events():
			if !open {
				b.events.Close()
				return
			}
			if e == cluster.Lossy {
				b.events.Send(e)
				continue
			}
			connected = e == cluster.Connected
		case <-tick:
			if isolated == (b.Routes() == 0) {
				continue
			}
			if isolated = !isolated; isolated {
				c.log.Warn("cannot reach any seed: check WithSeeds and the network")
			} else {
				c.log.Warn("connected to another seed")
			}
		}
		if connected && !isolated {
			b.events.Send(cluster.Connected)
		} else {
			b.events.Send(cluster.Disconnected)
		}
	}
}

// Events returns the channel of the connection's events. It implements [cluster.Bus].
func (b *Bus) Events() <-chan cluster.BusEvent { return b.events.C() }

// Close closes the connection to the server as [natscluster.Bus.Close] does, and then shuts the
// server down. The server delivers the messages that it has received to its clients and to
// other seeds. If ctx ends first, Close returns an error while the server still shuts down.
func (b *Bus) Close(ctx context.Context) error {
	err := b.clientBus.Close(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.server.shutdown()
	}()
	select {
	case <-stopped:
		return err
	case <-ctx.Done():
		return fmt.Errorf("embed: close: %w", ctx.Err())
	}
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
