package natscluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/nats-io/nats.go"
)

// Option is a setting of [Connect] or [Embed]. An option that is not for the one that
// it was given to is an error.
type Option func(*options)

type options struct {
	name   string
	prefix string
	log    *slog.Logger
	tls    *tls.Config

	user, password, token string
	keys                  nats.Options // those fields that present what a file holds
	credentials           []string     // the options that gave any

	clientListen, clusterListen string
	seeds                       []string

	onlyConnect, onlyEmbed []string // the options given that are
	errs                   []error
}

// WithName is the connection's name, as the server's monitoring shows it. It need not
// be unique. The default is "occupancy".
func WithName(name string) Option { return func(o *options) { o.name = name } }

// WithPrefix is what every subject begins with, so that several services can share a
// server. All nodes of one service have the same. It is one or more tokens of letters,
// digits, '-' and '_', separated by dots. The default is "occupancy".
func WithPrefix(prefix string) Option { return func(o *options) { o.prefix = prefix } }

// WithLogger is where connections, their losses and refusals are logged, and what an
// embedded server has to say; what repeats itself, once in 10 s. The default is nowhere.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithUser is what to log in with. An embedded server demands it of clients and of
// the other seeds, too.
func WithUser(user, password string) Option {
	return func(o *options) {
		o.user, o.password = user, password
		o.credentials = append(o.credentials, "WithUser")
		if user == "" || password == "" {
			o.errs = append(o.errs, errors.New("WithUser: user or password is empty"))
		}
	}
}

// WithToken is what to log in with. An embedded server demands it of clients and of
// the other seeds, too.
func WithToken(token string) Option {
	return func(o *options) {
		o.token = token
		o.credentials = append(o.credentials, "WithToken")
		if token == "" {
			o.errs = append(o.errs, errors.New("WithToken: token is empty"))
		}
	}
}

// WithNkeyFile is for [Connect]: a file with the seed of the nkey to log in with.
func WithNkeyFile(path string) Option {
	return func(o *options) {
		key, err := nats.NkeyOptionFromSeed(path)
		if err != nil {
			o.errs = append(o.errs, fmt.Errorf("WithNkeyFile: %w", err))
			return
		}
		o.file("WithNkeyFile", key)
	}
}

// WithCredentialsFile is for [Connect]: a file with the user's JWT and seed, as NATS's
// tools write it. It is read anew at every connection.
func WithCredentialsFile(path string) Option {
	return func(o *options) { o.file("WithCredentialsFile", nats.UserCredentials(path)) }
}

func (o *options) file(option string, set nats.Option) {
	if err := set(&o.keys); err != nil {
		o.errs = append(o.errs, fmt.Errorf("%s: %w", option, err))
	}
	o.credentials = append(o.credentials, option)
	o.onlyConnect = append(o.onlyConnect, option)
}

// WithTLS has connections encrypted, and refuses those that are not. RootCAs say which
// servers to trust, Certificates who this is.
//
// An embedded server presents and verifies with the same configuration: its
// certificate must be good for a server and a client. Other seeds must have a
// certificate that ClientCAs (RootCAs, if there are none) vouch for, and so must
// clients, unless there are credentials: then it is as ClientAuth says. The config is
// not changed, and must not be afterwards.
func WithTLS(config *tls.Config) Option {
	return func(o *options) {
		if config == nil {
			o.errs = append(o.errs, errors.New("WithTLS: config is nil"))
		}
		o.tls = config
	}
}

// WithClusterListen is for [Embed]: the host:port at which other seeds reach this
// one. Port 0 is any free one. Without it the server has no other beside it.
func WithClusterListen(address string) Option {
	return func(o *options) {
		o.clusterListen = address
		o.onlyEmbed = append(o.onlyEmbed, "WithClusterListen")
	}
}

// WithSeeds is for [Embed]: the host:port of the other seeds' WithClusterListen. Those
// that are not up yet are tried once a second, for ever. Give every seed the whole
// list; its own address in it does no harm.
func WithSeeds(addresses ...string) Option {
	return func(o *options) {
		o.seeds = append(o.seeds, addresses...)
		o.onlyEmbed = append(o.onlyEmbed, "WithSeeds")
	}
}

// WithClientListen is for [Embed]: the host:port at which other nodes may [Connect].
// Port 0 is any free one. Without it nobody can but this node itself.
func WithClientListen(address string) Option {
	return func(o *options) {
		o.clientListen = address
		o.onlyEmbed = append(o.onlyEmbed, "WithClientListen")
	}
}

// A '$' would reach NATS's own subjects, and wildcards other services'.
var prefixes = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

func newOptions(opts []Option) (*options, error) {
	o := &options{
		name:   "occupancy",
		prefix: "occupancy",
		log:    slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		opt(o)
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	if !prefixes.MatchString(o.prefix) {
		o.errs = append(o.errs, fmt.Errorf("WithPrefix: %q is not tokens of letters, digits, '-' and '_', separated by dots", o.prefix))
	}
	if len(o.credentials) > 1 {
		o.errs = append(o.errs, fmt.Errorf("one set of credentials at most, not %v", o.credentials))
	}
	return o, errors.Join(o.errs...)
}
