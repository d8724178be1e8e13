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
	flushSize      int           // maximum size in bytes of a digest in a flush; at most MinPayload
	replySize      int           // maximum size in bytes of a digest in a reply; MaxPayload also limits the size
	tombstoneSlack int           // number of tombstones that are always kept
	disabledRules  rules         // rules that the node does not follow, to test that each rule is necessary
}

// WithName sets the node's name: a label for people, of at most 255 bytes. The default
// is the host's name and random digits. Give each node its own name, and keep the name
// after a restart: the peers then remove the counts of the previous incarnation without
// waiting for the end of its lease. If two running nodes have the same name, both are
// counted correctly.
func WithName(name string) Option { return func(c *config) { c.name = name } }

// WithFlush sets how long changes are collected before they are published; the default
// is 200ms. Flushes are due at multiples of d on the wall clock. If nothing was published
// since the last multiple of d, a change is published at once.
func WithFlush(d time.Duration) Option { return func(c *config) { c.flush = d } }

// WithHeartbeat sets the heartbeat interval: the time between two heartbeats of the node.
// The default is 1s. The peers notice lost messages at the next heartbeat at the latest.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithLease sets the length of a peer's lease. The lease starts again at each heartbeat of
// the peer. The default is five heartbeat intervals, and the minimum is two.
func WithLease(d time.Duration) Option { return func(c *config) { c.lease = d } }

// WithHold sets the hold time; the default is 15s. If more than half of the peers are lost
// together, the cause is probably a fault of the network. In this case, the last counts
// of these peers are kept for the hold time after the lease has expired.
func WithHold(d time.Duration) Option { return func(c *config) { c.hold = d } }

// WithGetTimeout sets how long [occupancy.Engine.Get] waits for answers; the default is
// 250ms.
func WithGetTimeout(d time.Duration) Option { return func(c *config) { c.getTimeout = d } }

// WithMaxPeers limits the number of peers; the default is 1000. If the limit is reached,
// the messages of additional peers are dropped.
func WithMaxPeers(n int) Option { return func(c *config) { c.maxPeers = n } }

// WithMaxRooms limits the number of rooms of each peer; the default is 1,000,000. If a
// peer has more rooms, the rest is ignored.
func WithMaxRooms(n int) Option { return func(c *config) { c.maxRooms = n } }

// WithMaxCount limits the number of connections, and the number of members, of a peer in
// one room; the default is 10,000,000. Larger counts are refused.
func WithMaxCount(n int) Option { return func(c *config) { c.maxCount = n } }

// maxDuration is 18 years, which is practically unlimited. The sum of a few such durations
// does not overflow.
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
		return c, fmt.Errorf("cluster: WithHeartbeat, WithLease: the heartbeat interval %[2]v must be positive, and the lease %[1]v must be at least two heartbeat intervals", c.lease, c.heartbeat)
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

// rules is a set of rules of the protocol. Each rule is one bit.
type rules uint

const (
	ruleDuplicate      rules = 1 << iota // drop a digest whose changes are already applied
	ruleGap                              // if a digest is missing, do not apply the next digest; request a sync
	ruleHeartbeatSeq                     // request a sync if the seq of a heartbeat is not the last received seq
	ruleHeartbeatHash                    // request a snapshot if the hash of a heartbeat differs from the received counts
	ruleSyncLimit                        // send at most one sync request per second to each peer
	ruleLease                            // drop a peer when its lease has expired
	ruleNewIncarnation                   // shorten the lease when a new incarnation has the same name
	ruleOwnOutage                        // let no lease expire because of an outage or pause of this node
	ruleMassLoss                         // if most peers are lost together, keep their counts for the hold time
	ruleLossy                            // request a sync when the bus reports Lossy
	ruleBye                              // drop a peer when it sends a Bye, and ignore delayed messages of the peer
)

// enabled reports whether the node follows the rule.
func (c *config) enabled(rule rules) bool { return c.disabledRules&rule == 0 }
