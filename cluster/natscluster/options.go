package natscluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

// Option is a setting of [Connect] or of embed.Start. Most options apply to both; a
// function that is given an option that does not apply to it returns an error.
type Option func(*config.Config)

// WithName sets the connection's name, which the server's monitoring shows. It need not
// be unique. The default is "occupancy".
func WithName(name string) Option { return func(c *config.Config) { c.Name = name } }

// WithPrefix sets the first part of every subject, so that several services can share a
// server. All nodes of one service must have the same prefix: one or more tokens of
// letters, digits, '-' and '_', separated by dots. The default is "occupancy".
func WithPrefix(prefix string) Option { return func(c *config.Config) { c.Prefix = prefix } }

// WithLogger logs connections, disconnections and errors to log, and the messages of an
// embedded server. An error that repeats is logged once per 10 s. Without this option
// nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(c *config.Config) { c.Log = log } }

// WithUser sets the user and password to log in with. An embedded server also requires
// them from its clients and from other seeds.
func WithUser(user, password string) Option {
	return func(c *config.Config) {
		c.User, c.Password = user, password
		c.Credentials = append(c.Credentials, "WithUser")
		if user == "" || password == "" {
			c.Errs = append(c.Errs, errors.New("WithUser: user or password is empty"))
		}
	}
}

// WithToken sets the token to log in with. An embedded server also requires it from its
// clients and from other seeds.
func WithToken(token string) Option {
	return func(c *config.Config) {
		c.Token = token
		c.Credentials = append(c.Credentials, "WithToken")
		if token == "" {
			c.Errs = append(c.Errs, errors.New("WithToken: token is empty"))
		}
	}
}

// WithNkeyFile sets a file with the seed of the nkey to log in with. It applies to
// [Connect] only.
func WithNkeyFile(path string) Option {
	return func(c *config.Config) {
		auth, err := nats.NkeyOptionFromSeed(path)
		if err != nil {
			c.Errs = append(c.Errs, fmt.Errorf("WithNkeyFile: %w", err))
			return
		}
		setKeyFile(c, "WithNkeyFile", auth)
	}
}

// WithCredentialsFile sets a file with the JWT and the nkey seed of the user to log in
// as, in the format of the NATS tools. The file is read again at every connection. It
// applies to [Connect] only.
func WithCredentialsFile(path string) Option {
	return func(c *config.Config) { setKeyFile(c, "WithCredentialsFile", nats.UserCredentials(path)) }
}

func setKeyFile(c *config.Config, option string, auth nats.Option) {
	if err := auth(&c.KeyFile); err != nil {
		c.Errs = append(c.Errs, fmt.Errorf("%s: %w", option, err))
	}
	c.Credentials = append(c.Credentials, option)
	c.ConnectOnly = append(c.ConnectOnly, option)
}

// WithTLS encrypts connections and refuses servers that do not. RootCAs are the
// authorities whose servers are trusted, and Certificates identify this node.
//
// An embedded server uses the same configuration, so its certificate must be valid for
// a server and for a client. It requires a certificate from other seeds, signed by one of
// ClientCAs, or of RootCAs if ClientCAs is nil. It requires one from clients, too, unless
// [WithUser] or [WithToken] is given: then ClientAuth decides.
//
// The configuration is not changed, and the caller must not change it either.
func WithTLS(tlsConfig *tls.Config) Option {
	return func(c *config.Config) {
		if tlsConfig == nil {
			c.Errs = append(c.Errs, errors.New("WithTLS: configuration is nil"))
		}
		c.TLS = tlsConfig
	}
}
