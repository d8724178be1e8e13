package embed

import (
	"cmp"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// embeddedServer is a running NATS server.
type embeddedServer struct {
	*server.Server
	url         string // the URL of the client listener, also if it accepts only this node
	clientURL   string // for other nodes; empty if the client listener accepts only this node
	clusterAddr string // the host:port for other seeds; empty without WithClusterListen
	shutdown    func() // returns when the server has stopped; can be called more than once
}

// serverOptions returns the settings of the NATS server. The comments explain why a setting
// differs from the default.
func serverOptions(c *config) (*server.Options, error) {
	settings := &server.Options{
		// ServerName is random, because servers with the same name refuse to connect.
		NoSigs:          true, // the program handles signals itself
		NoSystemAccount: true, // the statistics of the account are not used
		// DontListen is not set: with this setting, Shutdown of a server with routes blocks.
		Host:            loopback,
		Port:            server.RANDOM_PORT,
		ClientAdvertise: c.clientAdvertise,
		Username:        c.user,
		Password:        c.password,
		Authorization:   c.token,
		// Log an unreachable seed once a minute, not once a second.
		ReconnectErrorReports: 60,
	}
	var err error
	switch {
	case c.clientListen != "":
		if settings.Host, settings.Port, err = parseListen(c, "WithClientListen", c.clientListen, c.clientAdvertise); err != nil {
			return nil, err
		}
	case c.clientAdvertise != "":
		return nil, errors.New("WithClientAdvertise requires WithClientListen")
	case !c.hasCredentials():
		settings.Authorization = rand.Text() // a secret token, so that only this node can log in
	}
	if c.tls != nil {
		if settings.TLSConfig, err = serverTLS(c.tls, !c.hasCredentials()); err != nil {
			return nil, err
		}
	}
	if c.clusterListen == "" {
		if len(c.seeds) > 0 || c.clusterAdvertise != "" {
			return nil, errors.New("WithSeeds and WithClusterAdvertise require WithClusterListen: seeds connect to each other in both directions")
		}
		return settings, nil
	}
	return settings, setRoutes(settings, c)
}

// setRoutes changes the settings of the connections to other seeds.
func setRoutes(settings *server.Options, c *config) (err error) {
	routes := &settings.Cluster
	if routes.Host, routes.Port, err = parseListen(c, "WithClusterListen", c.clusterListen, c.clusterAdvertise); err != nil {
		return err
	}
	if c.tls != nil {
		if routes.TLSConfig, err = serverTLS(c.tls, true); err != nil {
			return err
		}
	}
	routes.Name, routes.Advertise = "occupancy", c.clusterAdvertise
	if routes.Username, routes.Password = c.user, c.password; c.token != "" {
		routes.Username, routes.Password = "token", c.token // routes do not support tokens
	}
	routes.PoolSize = -1 // a pool is useful only for several accounts, but the server has one account
	routes.Compression.Mode = server.CompressionOff
	// If there is no client listener, do not inform clients of this server: its only address
	// is a loopback address.
	routes.NoAdvertise = c.clientListen == ""

	// Detect a dead connection after 3 s, as for clients, and not after 90 s.
	routes.PingInterval, routes.MaxPingsOut = time.Second, 2
	// A seed can learn of seeds that are missing in WithSeeds. By default it tries only once
	// to connect to such a seed. Let it retry for about an hour: every two seeds must be
	// connected, because a third seed does not forward messages between them.
	routes.ConnectRetries = 3600

	for _, seed := range c.seeds {
		if err := checkAddress("WithSeeds", seed); err != nil {
			return err
		}
		settings.Routes = append(settings.Routes, c.seedURL(seed))
	}
	return nil
}

const startTimeout = 10 * time.Second

// startServer starts a server and waits until it listens.
func startServer(settings *server.Options, c *config) (*embeddedServer, error) {
	ns, err := server.NewServer(settings)
	if err != nil {
		return nil, err
	}
	log := &serverLog{log: c.log}
	ns.SetLoggerV2(log, false, false, false)
	s := &embeddedServer{Server: ns}
	s.shutdown = sync.OnceFunc(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	listeners := 1
	if c.clusterListen != "" {
		listeners = 2
	}
	ns.Start() // do not use settings any more: the server can change it
	// When ns.Start has returned, the server has opened the client listener or has failed to
	// open it. The server opens the route listener later. If Shutdown were called earlier,
	// the route listener would remain open.
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
			if c.clientListen != "" {
				s.clientURL = "nats://" + cmp.Or(c.clientAdvertise, strings.TrimPrefix(s.url, "nats://"))
			}
			s.clusterAddr = cmp.Or(c.clusterAdvertise, s.clusterAddr)
			return s, nil
		case open+len(failed) >= listeners, time.Now().After(deadline):
			s.shutdown()
			return nil, errors.Join(append(failed, errors.New("the embedded server does not listen"))...)
		}
	}
}
