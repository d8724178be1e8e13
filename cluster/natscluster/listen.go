package natscluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

const loopback = "127.0.0.1"

// listen checks an address to listen at, and that nobody from elsewhere gets in by it
// unasked.
func (o *options) listen(option, address string) (host string, port int, err error) {
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
	if host == "localhost" {
		host = loopback // whatever a resolver would say
	}
	if host == "" {
		host = "0.0.0.0"
	}
	// Another name might be looked up to anything, now or later.
	ip, err := netip.ParseAddr(host)
	local := err == nil && ip.Unmap().IsLoopback()
	if !local && len(o.credentials) == 0 && o.tls == nil {
		return "", 0, fmt.Errorf("%s: %q can be reached from elsewhere: it needs WithUser, WithToken or WithTLS", option, address)
	}
	return host, port, nil
}

// serverTLS is c for a listener. If mutual, nobody gets in without a certificate.
func serverTLS(c *tls.Config, mutual bool) (*tls.Config, error) {
	if len(c.Certificates) == 0 && c.GetCertificate == nil {
		return nil, errors.New("WithTLS: a server needs Certificates")
	}
	if c.GetConfigForClient != nil {
		return nil, errors.New("WithTLS: with GetConfigForClient it can't be seen whether a server verifies certificates")
	}
	c = c.Clone()
	if c.ClientCAs == nil {
		c.ClientCAs = c.RootCAs
	}
	if mutual {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	// With none, Go takes the system's: anybody's whom a public authority vouches for.
	if c.ClientAuth >= tls.VerifyClientCertIfGiven && c.ClientCAs == nil {
		return nil, errors.New("WithTLS: a server that verifies certificates needs ClientCAs or RootCAs")
	}
	return c, nil
}

// seedURL is a seed's address as the server wants it, with the credentials.
func (o *options) seedURL(seed string) (*url.URL, error) {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		return nil, fmt.Errorf("WithSeeds: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return nil, fmt.Errorf("WithSeeds: %q is not a host and a port number", seed)
	}
	u := &url.URL{Scheme: "nats-route", Host: seed}
	switch {
	case o.token != "":
		u.User = url.UserPassword("token", o.token)
	case o.user != "":
		u.User = url.UserPassword(o.user, o.password)
	}
	return u, nil
}
