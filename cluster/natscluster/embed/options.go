package embed

import (
	"crypto/tls"
	"errors"
	"log/slog"

	"github.com/occupancy/occupancy/cluster/natscluster"
)

// Option is a setting of [Start].
type Option func(*config)

type config struct {
	bus                   []natscluster.Option
	log                   *slog.Logger
	user, password, token string
	tls                   *tls.Config
	clusterListen         string
	clusterAdvertise      string
	clientListen          string
	clientAdvertise       string
	seeds                 []string
}

func newConfig(opts []Option) (*config, error) {
	c := &config{log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(c)
	}
	switch {
	case (c.user == "") != (c.password == ""):
		return nil, errors.New("WithUser: user or password is empty")
	case c.user != "" && c.token != "":
		return nil, errors.New("give either WithUser or WithToken")
	}
	return c, nil
}

func (c *config) hasCredentials() bool { return c.user != "" || c.token != "" }

// WithPrefix sets the first part of every subject, as [natscluster.WithPrefix] does.
func WithPrefix(prefix string) Option {
	return func(c *config) { c.bus = append(c.bus, natscluster.WithPrefix(prefix)) }
}

// WithLogger sets the logger of the Bus and of the server. A repeated error is logged once
// per 10 s. Without this option, nothing is logged.
func WithLogger(log *slog.Logger) Option {
	return func(c *config) {
		c.log = log
		c.bus = append(c.bus, natscluster.WithLogger(log))
	}
}

// WithUser sets the user and password that this seed requires from its clients and from other
// seeds. All seeds must have the same.
func WithUser(user, password string) Option {
	return func(c *config) { c.user, c.password = user, password }
}

// WithToken sets the token that this seed requires from its clients and from other seeds. All
// seeds must have the same. An empty token is no token.
func WithToken(token string) Option { return func(c *config) { c.token = token } }

// WithTLS encrypts all connections to other nodes. The certificate must be valid for a server
// and for a client. The server requires certificates from other seeds. They must be signed by
// ClientCAs, or by RootCAs if ClientCAs is nil. Without [WithUser] or [WithToken], the server
// also requires such certificates from its clients. With [WithUser] or [WithToken], the field
// ClientAuth says whether clients need a certificate.
//
// The caller must not change the configuration after the call. A nil configuration is no TLS.
func WithTLS(tlsConfig *tls.Config) Option { return func(c *config) { c.tls = tlsConfig } }

// WithClusterListen sets the host:port on which this seed accepts connections from other
// seeds. Port 0 selects a free port. Without this option the server has no connections to
// other servers.
func WithClusterListen(address string) Option { return func(c *config) { c.clusterListen = address } }

// WithClusterAdvertise sets the host:port at which other seeds reach this seed. It is necessary
// if this is not the address of [WithClusterListen], for example behind NAT or in a container.
func WithClusterAdvertise(address string) Option {
	return func(c *config) { c.clusterAdvertise = address }
}

// WithSeeds sets the addresses of the other seeds, as host:port. The address of a seed is
// the address in its option [WithClusterListen] or [WithClusterAdvertise]. The server connects
// to each seed and retries once a second without limit. The list can contain the seed's own
// address, so all seeds can have the same list.
func WithSeeds(addresses ...string) Option {
	return func(c *config) { c.seeds = append(c.seeds, addresses...) }
}

// WithClientListen sets the host:port on which this seed accepts connections from other
// nodes. Port 0 selects a free port. Without this option, other nodes cannot connect.
func WithClientListen(address string) Option { return func(c *config) { c.clientListen = address } }

// WithClientAdvertise sets the host:port at which other nodes reach this seed. The seeds
// inform the connected nodes of this address, so that the nodes can reconnect to another seed.
// It is necessary if this is not the address of [WithClientListen].
func WithClientAdvertise(address string) Option {
	return func(c *config) { c.clientAdvertise = address }
}
