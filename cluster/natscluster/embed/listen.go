package embed

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

const loopback = "127.0.0.1"

// parseListen parses the address of a listener and checks the advertised address. If the
// address is not a loopback address, and the server requires neither credentials nor a
// certificate, it returns an error.
func parseListen(c *config, option, address, advertised string) (host string, port int, err error) {
	if advertised != "" {
		if err := checkAddress(strings.Replace(option, "Listen", "Advertise", 1), advertised); err != nil {
			return "", 0, err
		}
	}
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
	if !isLoopback && !c.hasCredentials() && c.tls == nil {
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

// checkAddress returns an error if the address is not host:port.
func checkAddress(option, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return fmt.Errorf("%s: %q is not host:port with a port number", option, address)
	}
	return nil
}

// seedURL returns a URL with the address of a seed and the credentials.
func (c *config) seedURL(seed string) *url.URL {
	u := &url.URL{Scheme: "nats-route", Host: seed}
	switch {
	case c.token != "":
		u.User = url.UserPassword("token", c.token)
	case c.user != "":
		u.User = url.UserPassword(c.user, c.password)
	}
	return u
}
