package embed

import (
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

// embeddedServer is a running NATS server.
type embeddedServer struct {
	*server.Server
	url         string // of the client listener, also if only this node may connect
	clientURL   string // empty if only this node may connect
	clusterAddr string // empty without routes
	shutdown    func() // returns when the server has stopped; may be called again
}

// serverOptions returns the settings of the NATS server. The comments give the reasons
// where they differ from its defaults.
func serverOptions(c *config.Config) (*server.Options, error) {
	so := &server.Options{
		// ServerName remains random: servers of the same name refuse to connect to each other.
		NoSigs:          true, // signals belong to the host program
		NoSystemAccount: true, // its statistics are not used
		// DontListen is not used: with it, a server with routes hangs in Shutdown.
		Host:          loopback,
		Port:          server.RANDOM_PORT,
		Username:      c.User,
		Password:      c.Password,
		Authorization: c.Token,
		// Log an unreachable seed once a minute, not once a second.
		ReconnectErrorReports: 60,
	}
	var err error
	if c.ClientListen != "" {
		if so.Host, so.Port, err = parseListen(c, "WithClientListen", c.ClientListen); err != nil {
			return nil, err
		}
	} else if len(c.Credentials) == 0 {
		so.Authorization = rand.Text() // so that only this node can log in
	}
	if c.TLS != nil {
		if so.TLSConfig, err = serverTLS(c.TLS, len(c.Credentials) == 0); err != nil {
			return nil, err
		}
	}
	if c.ClusterListen == "" {
		if len(c.Seeds) > 0 {
			return nil, errors.New("WithSeeds requires WithClusterListen: seeds connect to each other in both directions")
		}
		return so, nil
	}
	return so, setRoutes(so, c)
}

// setRoutes sets how the server connects to other seeds.
func setRoutes(so *server.Options, c *config.Config) (err error) {
	routes := &so.Cluster
	if routes.Host, routes.Port, err = parseListen(c, "WithClusterListen", c.ClusterListen); err != nil {
		return err
	}
	if c.TLS != nil {
		if routes.TLSConfig, err = serverTLS(c.TLS, true); err != nil {
			return err
		}
	}
	routes.Name = "occupancy"
	if routes.Username, routes.Password = c.User, c.Password; c.Token != "" {
		routes.Username, routes.Password = "token", c.Token // routes do not support tokens
	}
	routes.PoolSize = -1 // the pool distributes accounts, and there is only one
	routes.Compression.Mode = server.CompressionOff
	// Without a client listener clients would be informed of a port of the loopback.
	routes.NoAdvertise = c.ClientListen == ""

	// Detect a dead connection after 3 s, as for clients, and not after 90 s.
	routes.PingInterval, routes.MaxPingsOut = time.Second, 2
	// Retry a seed that is not in WithSeeds for about an hour, and not only once. Messages
	// are not forwarded through a third seed, so every two seeds must be connected.
	routes.ConnectRetries = 3600

	for _, seed := range c.Seeds {
		u, err := seedURL(c, seed)
		if err != nil {
			return err
		}
		so.Routes = append(so.Routes, u)
	}
	return nil
}

const startTimeout = 10 * time.Second

// startServer starts a server and waits until it listens.
func startServer(so *server.Options, c *config.Config) (*embeddedServer, error) {
	ns, err := server.NewServer(so)
	if err != nil {
		return nil, err
	}
	log := &serverLog{log: c.Log}
	ns.SetLoggerV2(log, false, false, false)
	s := &embeddedServer{Server: ns}
	s.shutdown = sync.OnceFunc(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	listeners := 1
	if c.ClusterListen != "" {
		listeners = 2
	}
	ns.Start() // from here on, the server may change so
	// The client listener exists or has failed when Start returns. The route listener is
	// opened later, and a Shutdown before that would leave it open.
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(time.Millisecond) {
		open, failed := 0, log.fatalErrors()
		if a := ns.Addr(); a != nil {
			s.url = "nats://" + a.String()
			open++
		}
		if a := ns.ClusterAddr(); a != nil {
			s.clusterAddr = a.String()
			open++
		}
		switch {
		case open == listeners:
			if c.ClientListen != "" {
				s.clientURL = s.url
			}
			return s, nil
		case open+len(failed) >= listeners, time.Now().After(deadline):
			s.shutdown()
			return nil, errors.Join(append(failed, errors.New("the embedded server does not listen"))...)
		}
	}
}
