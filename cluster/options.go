package cluster

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"
)

// Option is a setting of [Start]. All nodes of a service should use the same times.
type Option func(*config)

type config struct {
	name                                      string
	flush, heartbeat, lease, hold, getTimeout time.Duration
	maxPeers, maxRooms, maxCount              int

	// For tests.
	entropy        io.Reader     // the source of the incarnation
	clockSkew      time.Duration // added to the wall clock
	flushSize      int           // maximum size of a flush's digest in bytes, at most MinPayload
	replySize      int           // maximum size of a reply's digest in bytes, if MaxPayload is larger
	tombstoneSlack int           // number of tombstones that are always kept
	disabledRules  rule          // rules that the node does not follow, to test that each is necessary
}

// WithName sets the node's name: a label for people, of at most 255 bytes. The default
// is the host's name and random digits. Give each node its own name, and the same name
// after a restart: when a node starts again, its peers then remove the counts of its
// previous incarnation at once, and do not wait for the lease. If two running nodes have
// the same name, both are counted correctly.
func WithName(name string) Option { return func(c *config) { c.name = name } }

// WithFlush sets how long changes are collected before they are published; the default
// is 200ms. Flushes are due at multiples of d on the wall clock. The first change after
// a flush without changes is published at once.
func WithFlush(d time.Duration) Option { return func(c *config) { c.flush = d } }

// WithHeartbeat sets the time between two heartbeats of the node; the default is 1s. The
// peers notice lost messages at the next heartbeat at the latest.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithLease sets how long a peer's counts are kept without a heartbeat; the default is
// five heartbeats. It must be at least two.
func WithLease(d time.Duration) Option { return func(c *config) { c.lease = d } }

// WithHold sets how long the last counts of peers are kept after their lease if more
// than half of the peers were lost together, which is probably a fault of the network;
// the default is 15s.
func WithHold(d time.Duration) Option { return func(c *config) { c.hold = d } }

// WithGetTimeout sets how long [occupancy.Engine.Get] waits for answers; the default is
// 250ms.
func WithGetTimeout(d time.Duration) Option { return func(c *config) { c.getTimeout = d } }

// WithMaxPeers limits the number of peers; the default is 1000. Messages of further
// peers are dropped.
func WithMaxPeers(n int) Option { return func(c *config) { c.maxPeers = n } }

// WithMaxRooms limits the number of rooms that each peer may have; the default is
// 1,000,000. Further rooms are ignored.
func WithMaxRooms(n int) Option { return func(c *config) { c.maxRooms = n } }

// WithMaxCount limits the connections, and the members, that a peer may have in one
// room; the default is 10,000,000. Larger counts are refused.
func WithMaxCount(n int) Option { return func(c *config) { c.maxCount = n } }

// maxDuration is 18 years. It has the effect of no limit, and a few of it can be added
// without an overflow.
const maxDuration time.Duration = 1 << 59

func newConfig(opts []Option) (config, error) {
	c := config{
		flush:          200 * time.Millisecond,
		heartbeat:      time.Second,
		hold:           15 * time.Second,
		getTimeout:     250 * time.Millisecond,
		maxPeers:       1000,
		maxRooms:       1_000_000,
		maxCount:       10_000_000,
		entropy:        rand.Reader,
		flushSize:      MinPayload,
		replySize:      maxReply,
		tombstoneSlack: 1024,
	}
	for _, o := range opts {
		o(&c)
	}
	c.heartbeat = min(c.heartbeat, maxDuration/5)
	if c.lease == 0 {
		c.lease = 5 * c.heartbeat
	}
	c.lease, c.hold = min(c.lease, maxDuration), min(c.hold, maxDuration)
	switch {
	case len(c.name) > maxNodeName || !utf8.ValidString(c.name):
		return c, fmt.Errorf("cluster: WithName: the name must be UTF-8 of at most %d bytes", maxNodeName)
	case c.flush < 0 || c.hold < 0:
		return c, fmt.Errorf("cluster: WithFlush, WithHold: negative time: flush %v, hold %v", c.flush, c.hold)
	case c.heartbeat <= 0 || c.lease < 2*c.heartbeat:
		return c, fmt.Errorf("cluster: WithHeartbeat, WithLease: the heartbeat %[2]v must be positive and the lease %[1]v at least two heartbeats", c.lease, c.heartbeat)
	case c.getTimeout <= 0:
		return c, fmt.Errorf("cluster: WithGetTimeout: %v must be positive", c.getTimeout)
	case c.maxPeers < 1 || c.maxRooms < 1 || c.maxCount < 1:
		return c, fmt.Errorf("cluster: WithMaxPeers, WithMaxRooms, WithMaxCount: a limit must be at least 1: %d peers, %d rooms, count %d", c.maxPeers, c.maxRooms, c.maxCount)
	}
	return c, nil
}

// defaultName returns the name of a node without WithName.
func defaultName(id incarnation) string {
	host, err := os.Hostname()
	if err != nil || len(host) > 200 || !utf8.ValidString(host) {
		host = "node"
	}
	return fmt.Sprintf("%s-%x", host, id[:4])
}

// rule is a set of rules of the protocol.
type rule uint

const (
	ruleDuplicate      rule = 1 << iota // drop a digest that is not newer
	ruleGap                             // do not apply a digest after a gap; request a sync
	ruleHeartbeatSeq                    // request a sync if a heartbeat has another seq
	ruleHeartbeatHash                   // request a snapshot if a heartbeat has another hash
	ruleSyncLimit                       // send at most one sync request to each peer and second
	ruleLease                           // drop a peer without heartbeats
	ruleNewIncarnation                  // shorten the lease when a new incarnation has the same name
	ruleSelfDoubt                       // expire no lease after an outage or pause of this node
	ruleMassLoss                        // hold peers that were lost together
	ruleLossy                           // request a sync when the bus reports Lossy
	ruleBye                             // drop a peer at its Bye, and ignore its later messages
)

func (c *config) enabled(r rule) bool { return c.disabledRules&r == 0 }
