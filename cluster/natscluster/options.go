package natscluster

import (
	"log/slog"

	"github.com/nats-io/nats.go"
)

// Option is a setting of [Connect] or [New].
type Option func(*Bus)

// WithPrefix sets the first part of every subject, so that several services can use the
// same server. All nodes of one service must have the same prefix. A prefix consists of one
// or more tokens, separated by dots. A token consists of letters, digits, '-' and '_'. The
// default is "occupancy".
func WithPrefix(prefix string) Option { return func(b *Bus) { b.prefix = prefix } }

// WithLogger sets the logger for connections, disconnections and errors. A repeated error
// is logged once per 10 s. Without this option, nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(b *Bus) { b.log = log } }

// WithNATS adds options of the NATS client, for example for credentials ([nats.Token],
// [nats.UserInfo], [nats.UserCredentials]), for TLS ([nats.Secure], [nats.RootCAs]) or for the
// connection's name ([nats.Name]). They replace the settings of the Bus: if an option sets a
// handler, the Bus does not log what this handler receives. WithNATS applies to [Connect] only.
func WithNATS(opts ...nats.Option) Option {
	return func(b *Bus) { b.natsOptions = append(b.natsOptions, opts...) }
}
