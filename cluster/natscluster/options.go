package natscluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

// Option is a setting of [Connect] or of embed.Start. Most options apply to both functions.
// If an option applies only to the other function, the call returns an error.
type Option func(*config.Config)

// WithName sets the connection's name, which the server's monitoring shows. Several
// connections can have the same name. The default is "occupancy".
func WithName(name string) Option { return func(c *config.Config) { c.Name = name } }

// WithPrefix sets the first part of every subject, so that several services can use the
// same server. All nodes of one service must have the same prefix. A prefix consists of one
// or more tokens, separated by dots. A token consists of letters, digits, '-' and '_'. The
// default is "occupancy".
func WithPrefix(prefix string) Option { return func(c *config.Config) { c.Prefix = prefix } }

// WithLogger sets the logger for connections, disconnections, errors, and the messages of
// an embedded server. A repeated error is logged once per 10 s. Without this option,
// nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(c *config.Config) { c.Log = log } }

// WithUser sets the user and password of this node. An embedded server requires the same
// user and password from its clients and from other seeds.
func WithUser(user, password string) Option {
	return func(c *config.Config) {
		c.User, c.Password = user, password
		c.Credentials = append(c.Credentials, "WithUser")
		if user == "" || password == "" {
			c.Errs = append(c.Errs, errors.New("WithUser: user or password is empty"))
		}
	}
}

// WithToken sets the token of this node. An embedded server requires the same token from
// its clients and from other seeds.
func WithToken(token string) Option {
	return func(c *config.Config) {
		c.Token = token
		c.Credentials = append(c.Credentials, "WithToken")
		if token == "" {
			c.Errs = append(c.Errs, errors.New("WithToken: token is empty"))
		}
	}
}

// WithNkeyFile sets the path of a file that contains the seed of this node's nkey. The
// option applies to [Connect] only.
func WithNkeyFile(path string) Option {
	return func(c *config.Config) {
		auth, err := nats.NkeyOptionFromSeed(path)
		setKeyFile(c, "WithNkeyFile", auth, err)
	}
}

// WithCredentialsFile sets the path of a file that contains a user's JWT and nkey seed, in
// the format of the NATS tools. The file is read again for every connection. The option
// applies to [Connect] only.
func WithCredentialsFile(path string) Option {
	return func(c *config.Config) { setKeyFile(c, "WithCredentialsFile", nats.UserCredentials(path), nil) }
}

func setKeyFile(c *config.Config, option string, auth nats.Option, err error) {
	if err == nil {
		err = auth(&c.KeyFile)
	}
	if err != nil {
		c.Errs = append(c.Errs, fmt.Errorf("%s: %w", option, err))
	}
	c.Credentials = append(c.Credentials, option)
	c.ConnectOnly = append(c.ConnectOnly, option)
}

// WithTLS encrypts all connections, and refuses servers without TLS. The node trusts the
// servers whose certificates are signed by RootCAs. The field Certificates contains the
// certificates of the node itself.
//
// An embedded server uses the same configuration, so its certificate must be valid for a
// server and for a client. The server requires certificates from other seeds. They must be
// signed by ClientCAs, or by RootCAs if ClientCAs is nil. Without [WithUser] or [WithToken],
// the server also requires such certificates from its clients. With [WithUser] or
// [WithToken], the field ClientAuth says whether clients need a certificate.
//
// The caller must not change the configuration after the call.
func WithTLS(tlsConfig *tls.Config) Option {
	return func(c *config.Config) {
		if tlsConfig == nil {
			c.Errs = append(c.Errs, errors.New("WithTLS: configuration is nil"))
		}
		c.TLS = tlsConfig
	}
}
