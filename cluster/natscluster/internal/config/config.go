// Package config contains the settings of a Bus. The options of natscluster and of embed
// change these settings. A separate package is necessary because both packages use them.
package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"

	"github.com/nats-io/nats.go"
)

// Config is the settings of a Bus.
type Config struct {
	Name   string
	Prefix string
	Log    *slog.Logger
	TLS    *tls.Config

	User, Password, Token string
	KeyFile               nats.Options // Nkey, UserJWT and SignatureCB, from a file
	Credentials           []string     // the names of the options that gave credentials

	// The following settings apply to embed only.
	ClientListen, ClusterListen string
	Seeds                       []string

	ConnectOnly []string // the names of the given options that embed.Start does not accept
	EmbedOnly   []string // the names of the given options that only embed.Start accepts
	Errs        []error

	Server *Server // nil unless embed runs a server for the Bus
}

// Server is a NATS server in this process.
type Server struct {
	URL      string // for Stats and logs
	Token    string // the token of the server; empty if the server requires no token
	Dial     func() (net.Conn, error)
	Isolated func() bool // reports whether no other seed is connected; nil if no other seed is configured
	Shutdown func()      // returns when the server has stopped; can be called more than once
}

// A prefix with '$' could address subjects of NATS itself, and a wildcard could address
// subjects of other services.
var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// New applies the options to the defaults and checks the result. It returns a Config even
// with an error, so that the caller can check ConnectOnly and EmbedOnly first.
func New[Option ~func(*Config)](opts []Option) (*Config, error) {
	c := &Config{Name: "occupancy", Prefix: "occupancy"}
	for _, opt := range opts {
		opt(c)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !validPrefix.MatchString(c.Prefix) {
		c.Errs = append(c.Errs, fmt.Errorf("WithPrefix: %q is invalid: use letters, digits, '-' and '_', with dots between tokens", c.Prefix))
	}
	if len(c.Credentials) > 1 {
		c.Errs = append(c.Errs, fmt.Errorf("%v: give only one of these options", c.Credentials))
	}
	return c, errors.Join(c.Errs...)
}
