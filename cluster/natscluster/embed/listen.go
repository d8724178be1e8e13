package embed

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

const loopback = "127.0.0.1"

// parseListen parses the address of a listener. It returns an error if the address is not
// a loopback address and the server would accept anyone.
func parseListen(c *config.Config, option, address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", option, err)
	}
	p, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %q has no port number", option, address)
	}
	if port = int(p); port == 0 {
		port = server.RANDOM_PORT
	}
	switch host {
	case "localhost":
		host = loopback // without asking a resolver
	case "":
		host = "0.0.0.0"
	}
	// Any other name is treated as public: DNS may resolve it to any address.
	ip, err := netip.ParseAddr(host)
	isLoopback := err == nil && ip.Unmap().IsLoopback()
	if !isLoopback && len(c.Credentials) == 0 && c.TLS == nil {
		return "", 0, fmt.Errorf("%s: %q is not a loopback address: WithUser, WithToken or WithTLS is required", option, address)
	}
	return host, port, nil
}

// serverTLS returns the configuration for a listener. If mutual, clients must present a
// valid certificate, whatever ClientAuth is.
func serverTLS(c *tls.Config, mutual bool) (*tls.Config, error) {
	if len(c.Certificates) == 0 && c.GetCertificate == nil {
		return nil, errors.New("WithTLS: a server needs a certificate: set Certificates")
	}
	if c.GetConfigForClient != nil {
		return nil, errors.New("WithTLS: GetConfigForClient is not supported: it could disable the verification of certificates")
	}
	c = c.Clone()
	if c.ClientCAs == nil {
		c.ClientCAs = c.RootCAs
	}
	if mutual {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	// Without ClientCAs, Go uses the system's authorities and accepts any public certificate.
	if c.ClientAuth >= tls.VerifyClientCertIfGiven && c.ClientCAs == nil {
		return nil, errors.New("WithTLS: a server that verifies client certificates needs their authority: set ClientCAs or RootCAs")
	}
	return c, nil
}

// seedURL returns the address of a seed as a URL with the credentials.
func seedURL(c *config.Config, seed string) (*url.URL, error) {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		return nil, fmt.Errorf("WithSeeds: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return nil, fmt.Errorf("WithSeeds: %q is not host:port with a port number", seed)
	}
	u := &url.URL{Scheme: "nats-route", Host: seed}
	switch {
	case c.Token != "":
		u.User = url.UserPassword("token", c.Token)
	case c.User != "":
		u.User = url.UserPassword(c.User, c.Password)
	}
	return u, nil
}
