package natscluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Embed makes a Bus of a NATS server inside this process: a seed. One to five nodes of
// a service are seeds, which link to each other by WithClusterListen and WithSeeds; all
// others [Connect] to what the seeds have as WithClientListen. Without options it is
// for this node alone.
//
// An address that is not a loopback one is an error without WithUser, WithToken or
// WithTLS, before anything listens: whoever reaches it could say what any room's
// occupancy is.
//
// Embed returns when the server listens and the Bus is connected to it. It does not
// wait for other seeds: Stats tells how many are linked.
func Embed(ctx context.Context, opts ...Option) (*Bus, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("natscluster: %w", err)
	}
	if len(o.onlyConnect) > 0 {
		return nil, fmt.Errorf("natscluster: %s is for Connect", o.onlyConnect[0])
	}
	settings, err := serverSettings(o)
	if err != nil {
		return nil, fmt.Errorf("natscluster: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := newBus(o)
	if b.server, err = startServer(settings, o); err != nil {
		return nil, fmt.Errorf("natscluster: %w", err)
	}
	b.sockets.connect = func(context.Context, string) (net.Conn, error) { return b.server.InProcessConn() }
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// ClientURL is where other nodes can [Connect] to an embedded server, without
// credentials: "nats://host:port", of WithClientListen. It is "" without that.
func (b *Bus) ClientURL() string {
	if b.server == nil || b.opts.clientListen == "" {
		return ""
	}
	return b.server.url
}

// ClusterAddr is the host:port at which an embedded server listens for other seeds, of
// WithClusterListen. It is "" without that.
func (b *Bus) ClusterAddr() string {
	if b.server == nil || b.opts.clusterListen == "" {
		return ""
	}
	return b.server.clusterAddr
}

type embedded struct {
	*server.Server
	token string // that it takes of this node

	// Known once it listens, and still when it doesn't any more.
	url, clusterAddr string
}

// serverSettings are the NATS server's. Where they are not its defaults, the comments
// say why.
func serverSettings(o *options) (*server.Options, error) {
	so := &server.Options{
		NoSigs:          true, // the process is the host's
		NoSystemAccount: true, // nobody listens to its statistics
		Host:            loopback,
		Port:            server.RANDOM_PORT, // DontListen and a cluster hang at Shutdown
		Username:        o.user,
		Password:        o.password,
		Authorization:   o.token,
		// A lost route that can't be linked again: an error a minute, not a second.
		ReconnectErrorReports: 60,
	}
	// ServerName stays what the server draws: two of one name refuse to link.
	var err error
	if o.clientListen != "" {
		if so.Host, so.Port, err = o.listen("WithClientListen", o.clientListen); err != nil {
			return nil, err
		}
	} else if len(o.credentials) == 0 {
		so.Authorization = rand.Text() // so that nobody has a use for the port
	}
	if o.tls != nil {
		if so.TLSConfig, err = serverTLS(o.tls, len(o.credentials) == 0); err != nil {
			return nil, err
		}
	}
	if o.clusterListen == "" {
		if len(o.seeds) > 0 {
			return nil, errors.New("WithSeeds needs WithClusterListen: the seeds link both ways")
		}
		return so, nil
	}
	return so, o.routes(so)
}

// routes sets how the seeds link.
func (o *options) routes(so *server.Options) (err error) {
	c := &so.Cluster
	if c.Host, c.Port, err = o.listen("WithClusterListen", o.clusterListen); err != nil {
		return err
	}
	if o.tls != nil {
		if c.TLSConfig, err = serverTLS(o.tls, true); err != nil {
			return err
		}
	}
	c.Name = "occupancy"
	if c.Username, c.Password = o.user, o.password; o.token != "" {
		c.Username, c.Password = "token", o.token // routes know no tokens
	}
	c.PoolSize = -1 // there is one account, which would use one of a pool
	c.Compression.Mode = server.CompressionOff
	c.NoAdvertise = o.clientListen == "" // else clients elsewhere would try a loopback port

	// A dead link is found as fast as a dead client is, after 3 s, not 90.
	c.PingInterval, c.MaxPingsOut = time.Second, 2
	// A seed that this one only heard of is tried again for about an hour, not once:
	// seeds that don't link stay deaf to each other, whoever is between.
	c.ConnectRetries = 3600

	for _, seed := range o.seeds {
		u, err := o.seedURL(seed)
		if err != nil {
			return err
		}
		so.Routes = append(so.Routes, u)
	}
	return nil
}

// startServer returns when it listens.
func startServer(so *server.Options, o *options) (*embedded, error) {
	s, err := server.NewServer(so)
	if err != nil {
		return nil, err
	}
	log := &serverLog{log: o.log}
	s.SetLoggerV2(log, false, false, false)
	e := &embedded{Server: s, token: so.Authorization}
	listeners := 1
	if o.clusterListen != "" {
		listeners = 2
	}
	s.Start() // so is the server's now: it writes to it
	// The client's listener is there, or failed, when Start returns. The routes' follows,
	// and a Shutdown before would miss it.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		up, failed := 0, log.failures()
		if a := s.Addr(); a != nil {
			e.url = "nats://" + a.String()
			up++
		}
		if a := s.ClusterAddr(); a != nil {
			e.clusterAddr = a.String()
			up++
		}
		switch {
		case up == listeners:
			return e, nil
		case up+len(failed) >= listeners, time.Now().After(deadline):
			e.shutdown()
			return nil, errors.Join(append(failed, errors.New("the embedded server does not start"))...)
		}
	}
}

// shutdown is called once: the server does not wait in a second call.
func (e *embedded) shutdown() {
	e.Shutdown()
	e.WaitForShutdown()
}
