package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
	"unicode/utf8"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// Option is a setting of [Start]. The nodes of a service can use different times: a peer's
// lease is at least five of the peer's own heartbeat intervals.
type Option func(*config)

type config struct {
	core.Config
	flush, getTimeout time.Duration
	log               *slog.Logger
	strict            bool             // see WithStrictReadiness
	trends            Trends           // nil without WithTrending
	aggregate         bool             // see WithAggregator
	aggregatorID      core.Incarnation // of the aggregator in this process
	userKey           userKey
	entropy           io.Reader // the source of the incarnation
}

// WithName sets the node's name: a label for people, of at most 255 bytes. The default
// is the host's name and random digits. Give each node its own name, and keep the name
// after a restart: the peers then remove the counts of the previous incarnation without
// waiting for the end of its lease. If two running nodes have the same name, both are
// counted correctly, and Health reports SameName.
func WithName(name string) Option { return func(c *config) { c.Name = name } }

// WithSecret sets the secret of the service; all nodes need the same one. The nodes publish the
// users of rooms as hashes of their client IDs, whose key is derived from the secret. So a user
// on several nodes counts once, and a client of the bus that does not know the secret cannot
// recognize a user. Without a secret the key is public: then a client of the bus can find out
// whether a client ID that it knows is in a room. If a peer has another secret, the node is
// Degraded. Only engines [occupancy.WithUsers] publish users.
func WithSecret(secret string) Option { return func(c *config) { c.userKey = newUserKey(secret) } }

// WithLogger sets the logger. The default discards all messages. The node logs at level Warn
// when counts may be incomplete and when a peer is lost, and when that has ended. It logs at
// level Info when peers come and go, and until it is ready (see [Node.Ready]): when it
// starts, its counts are always incomplete. The messages of the aggregator in this process have the
// attribute "node" with its name: see [WithAggregator].
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.log = l } }

// WithFlush sets how long changes are collected before they are published; the default
// is 200ms. Flushes are due at multiples of d on the wall clock. If nothing was published
// since the last multiple of d, a change is published at once.
func WithFlush(d time.Duration) Option { return func(c *config) { c.flush = d } }

// WithHeartbeat sets the heartbeat interval: the time between two heartbeats of the node.
// The default is 1s. The peers notice lost messages at the next heartbeat at the latest.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.Heartbeat = d } }

// WithLease sets the length of a peer's lease. The lease starts again at each heartbeat of
// the peer. The default is five heartbeat intervals, and the minimum is two.
func WithLease(d time.Duration) Option { return func(c *config) { c.Lease = d } }

// WithHold sets the hold time; the default is 15s. If both of two peers, or more than half
// of three or more, are lost together, the cause is probably a fault of the network. In this
// case, the last counts of these peers are kept for the hold time after the lease has
// expired.
func WithHold(d time.Duration) Option { return func(c *config) { c.Hold = d } }

// WithForget sets for how long a lost peer is Missing; the default is 10 minutes. During this time
// the node is Degraded and Get returns a [PartialError], because the counts of the peer are not
// part of the totals. This state ends earlier when the peer returns, when a new node has the same
// name, and when the peer sends a Bye. So close nodes that stop, and keep their names after a
// restart.
func WithForget(d time.Duration) Option { return func(c *config) { c.Forget = d } }

// WithExpectedNodes sets the number of nodes of the service, including this one. While the
// node knows fewer nodes, it is Degraded and Get returns a [PartialError]. The default is
// 1. Without this option, a node that never had a connection to the others does not detect
// that they are missing.
func WithExpectedNodes(n int) Option { return func(c *config) { c.ExpectedNodes = n } }

// WithGetTimeout sets how long [occupancy.Engine.Get] waits for answers; the default is
// 250ms.
func WithGetTimeout(d time.Duration) Option { return func(c *config) { c.getTimeout = d } }

// WithMaxPeers limits the number of peers; the default is 1000. If the limit is reached,
// the messages of additional peers are dropped. A new peer takes the place of a Missing
// peer. The peers of an aggregator are all nodes of the service: see [WithAggregator].
func WithMaxPeers(n int) Option { return func(c *config) { c.MaxPeers = n } }

// WithMaxRooms limits the number of rooms of each peer; the default is 1,000,000. If a
// peer has more rooms, the rest is ignored. With [WithEverything], the peers are the aggregators, of
// which each has the rooms of its shards.
func WithMaxRooms(n int) Option { return func(c *config) { c.MaxRooms = n } }

// WithMaxCount limits the number of connections, and the number of members, of a peer in
// one room; the default is 10,000,000. Larger counts are refused. With [WithSharding], the counts of a
// peer are the sums of all other nodes.
func WithMaxCount(n int) Option { return func(c *config) { c.MaxCount = n } }

// WithStrictReadiness makes [Node.ServeHTTP] respond with status 503 also while the node is
// Degraded. A load balancer then sends clients only to nodes with complete counts. If one
// node is lost, all others are Degraded, so the service has no nodes until the lost node
// returns or the time of [WithForget] has passed.
func WithStrictReadiness() Option { return func(c *config) { c.strict = true } }

// WithSharding makes the nodes exchange their counts through aggregators, for services of more
// than about fifty nodes; docs/scale.md of this repository has the figures. All nodes of a service
// need it, and some of them also need [WithAggregator].
//
// A node then receives only the counts of the rooms in which it is interested: those in which it
// has connections, members or subscribers, or that a watcher of its engine has selected
// ([Node.Interested]). Other rooms are missing in Current, All and Watch of its engine, and in
// rankings of its rooms. [occupancy.Engine.Get] still returns the counts of any room, and
// [Node.Top] the largest rooms of the service. A node [WithEverything] receives all rooms.
//
// When a node becomes interested in a room, its engine has only the counts of its own process
// until the counts of the others arrive, about a flush interval later.
func WithSharding() Option {
	return func(c *config) {
		if c.Role == core.Mesh {
			c.Role = core.Client
		}
	}
}

// WithAggregator makes this process also an aggregator. It implies [WithSharding]. Choose at least
// two processes that run for long and are seldom busy, for example the seeds, and about one for
// each 200 nodes. If an aggregator is lost, the nodes use another one. No count changes, except
// that the clients of the lost process are no longer counted.
//
// All nodes of the service are peers of an aggregator. With more than 1000 nodes, raise the limit
// of [WithMaxPeers] on the aggregators. A name of [WithName] can have at most 242 bytes, because
// the name of the aggregator is this name with the suffix " (aggregator)".
func WithAggregator() Option {
	return func(c *config) {
		WithSharding()(c)
		c.aggregate = true
	}
}

// WithEverything makes this node receive the counts of all rooms: for a lobby, a dashboard or a
// ranking of all rooms. It implies [WithSharding].
func WithEverything() Option {
	return func(c *config) {
		WithSharding()(c)
		c.Everything = true
	}
}

// maxDuration is 18 years, which is practically unlimited. The sum of a few such durations
// does not overflow.
const maxDuration time.Duration = 1 << 59

// maxReply is the maximum size in bytes of a digest in a reply, even if the bus allows
// more. It limits the receiver's memory, because the inbox of a node holds up to 1024 messages.
const maxReply = 256 << 10

func newConfig(eng *occupancy.Engine, opts []Option) (config, error) {
	c := config{
		Config: core.Config{
			Heartbeat:      time.Second,
			Hold:           15 * time.Second,
			Forget:         10 * time.Minute,
			ExpectedNodes:  1,
			MaxPeers:       1000,
			MaxRooms:       1_000_000,
			MaxCount:       10_000_000,
			FlushSize:      MinPayload,
			ReplySize:      maxReply,
			TombstoneSlack: 1024,
			MaxUsers:       core.MaxUsers,
		},
		flush:      200 * time.Millisecond,
		getTimeout: 250 * time.Millisecond,
		log:        slog.New(slog.DiscardHandler),
		userKey:    newUserKey(""),
		entropy:    rand.Reader,
	}
	for _, o := range opts {
		o(&c)
	}
	c.UserKey = c.userKey.id()
	c.Heartbeat = min(c.Heartbeat, maxDuration/5)
	if c.Lease == 0 {
		c.Lease = 5 * c.Heartbeat
	}
	c.Lease, c.Hold, c.Forget = min(c.Lease, maxDuration), min(c.Hold, maxDuration), min(c.Forget, maxDuration)
	maxName := core.MaxNodeName
	if c.aggregate {
		maxName -= len(aggregatorSuffix)
	}
	switch {
	case c.log == nil:
		return c, errors.New("cluster: WithLogger: the logger is nil")
	case c.trends != nil && c.trends.Engine() != eng:
		return c, errors.New("cluster: WithTrending: the board ranks the rooms of another engine")
	case len(c.Name) > maxName || !utf8.ValidString(c.Name):
		return c, fmt.Errorf("cluster: WithName: the name must be UTF-8 of at most %d bytes", maxName)
	case c.flush < 0 || c.Hold < 0 || c.Forget < 0:
		return c, fmt.Errorf("cluster: WithFlush, WithHold, WithForget: negative time: flush %v, hold %v, forget %v", c.flush, c.Hold, c.Forget)
	case c.Heartbeat <= 0 || c.Lease < 2*c.Heartbeat:
		return c, fmt.Errorf("cluster: WithHeartbeat, WithLease: the heartbeat interval %[2]v must be positive, and the lease %[1]v must be at least two heartbeat intervals", c.Lease, c.Heartbeat)
	case c.getTimeout <= 0:
		return c, fmt.Errorf("cluster: WithGetTimeout: %v must be positive", c.getTimeout)
	case c.ExpectedNodes < 1:
		return c, fmt.Errorf("cluster: WithExpectedNodes: the number must be at least 1: %d", c.ExpectedNodes)
	case c.MaxPeers < 1 || c.MaxRooms < 1 || c.MaxCount < 1:
		return c, fmt.Errorf("cluster: WithMaxPeers, WithMaxRooms, WithMaxCount: a limit must be at least 1: %d peers, %d rooms, count %d", c.MaxPeers, c.MaxRooms, c.MaxCount)
	}
	return c, nil
}

// defaultName returns the name of a node without WithName.
func defaultName(id core.Incarnation) string {
	host, err := os.Hostname()
	if err != nil || len(host) > 200 || !utf8.ValidString(host) {
		host = "node"
	}
	return fmt.Sprintf("%s-%x", host, id[:4])
}
