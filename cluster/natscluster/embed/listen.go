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

// parseListen parses the address of a listener. If the address is not a loopback address,
// and the server requires neither credentials nor a certificate, it returns an error.
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
		host = loopback // do not use a resolver
	case "":
		host = "0.0.0.0"
	}
	// Treat all other names as public, because DNS can resolve a name to any address.
	ip, err := netip.ParseAddr(host)
	isLoopback := err == nil && ip.Unmap().IsLoopback()
	if !isLoopback && len(c.Credentials) == 0 && c.TLS == nil {
		return "", 0, fmt.Errorf("%s: %q is not a loopback address: WithUser, WithToken or WithTLS is required", option, address)
	}
	return host, port, nil
}

// serverTLS returns the configuration for a listener. If mutual is true, clients must
// present a valid certificate, even if ClientAuth does not require it.
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
	// If ClientCAs is nil, Go accepts the certificates of all public authorities.
	if c.ClientAuth >= tls.VerifyClientCertIfGiven && c.ClientCAs == nil {
		return nil, errors.New("WithTLS: the authority of the client certificates is missing: set ClientCAs or RootCAs")
	}
	return c, nil
}

// seedURL returns a URL with the address of a seed and the credentials.
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
