package cluster

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"
)

// Option is a setting of [Start]. All nodes of a service should have the same times.
type Option func(*config)

type config struct {
	name                                string
	flush, heartbeat, lease, hold, wait time.Duration
	maxPeers, maxRooms, maxCount        int

	// For tests.
	entropy   io.Reader     // what an incarnation is drawn from
	skew      time.Duration // of the clock
	flushSize int           // bytes of a flush's digest, at most; no bus may take less
	replySize int           // bytes of a reply's digest, at most, where the bus takes more
	spare     int           // emptied rooms that are remembered, at least
	off       rule          // rules that do not hold, to show what they are for
}

// WithName sets the node's name: a label for people, of 255 bytes at most. A node that
// starts again under its name replaces what it left behind at once rather than when its
// lease ends, so give each place its own, and the same after a restart. Two
// that live under one name at a time both count right. Without it the name is the
// host's with something random.
func WithName(name string) Option { return func(c *config) { c.name = name } }

// WithFlush sets how long changes are gathered at most before they are told to the peers,
// which is when the clock shows a multiple of it; 200ms without it. The first one after
// quiet does not wait.
func WithFlush(d time.Duration) Option { return func(c *config) { c.flush = d } }

// WithHeartbeat sets how often the node says that it lives; 1s without it. What was
// lost is noticed by the next heartbeat at the latest.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithLease sets how long a peer is believed without a heartbeat of it; five
// heartbeats without it. It must be at least two.
func WithLease(d time.Duration) Option { return func(c *config) { c.lease = d } }

// WithHold sets how long after their lease the last values of peers are kept where more
// than half of them vanished together, which is more likely a fault of the network;
// 15s without it.
func WithHold(d time.Duration) Option { return func(c *config) { c.hold = d } }

// WithGetTimeout sets how long [occupancy.Engine.Get] waits for answers; 250ms without it.
func WithGetTimeout(d time.Duration) Option { return func(c *config) { c.wait = d } }

// WithMaxPeers limits how many peers are listened to; 1000 without it.
func WithMaxPeers(n int) Option { return func(c *config) { c.maxPeers = n } }

// WithMaxRooms limits in how many rooms each peer is counted; 1,000,000 without it.
func WithMaxRooms(n int) Option { return func(c *config) { c.maxRooms = n } }

// WithMaxCount limits how many connections, and how many members, a peer may claim to
// have in a room; 10,000,000 without it.
func WithMaxCount(n int) Option { return func(c *config) { c.maxCount = n } }

// longest is a time that is as good as for ever, of which a few can be added up: 18 years.
const longest time.Duration = 1 << 59

func newConfig(opts []Option) (config, error) {
	c := config{
		flush:     200 * time.Millisecond,
		heartbeat: time.Second,
		hold:      15 * time.Second,
		wait:      250 * time.Millisecond,
		maxPeers:  1000,
		maxRooms:  1_000_000,
		maxCount:  10_000_000,
		entropy:   rand.Reader,
		flushSize: MinPayload,
		replySize: maxReply,
		spare:     1024,
	}
	for _, o := range opts {
		o(&c)
	}
	c.heartbeat = min(c.heartbeat, longest/5)
	if c.lease == 0 {
		c.lease = 5 * c.heartbeat
	}
	c.lease, c.hold = min(c.lease, longest), min(c.hold, longest)
	switch {
	case len(c.name) > maxNodeName || !utf8.ValidString(c.name):
		return c, fmt.Errorf("cluster: name is over %d bytes or not UTF-8", maxNodeName)
	case c.flush < 0 || c.hold < 0:
		return c, fmt.Errorf("cluster: negative time: flush %v, hold %v", c.flush, c.hold)
	case c.heartbeat <= 0 || c.lease < 2*c.heartbeat:
		return c, fmt.Errorf("cluster: lease %v is less than two heartbeats of %v", c.lease, c.heartbeat)
	case c.wait <= 0:
		return c, fmt.Errorf("cluster: Get cannot wait %v", c.wait)
	case c.maxPeers < 1 || c.maxRooms < 1 || c.maxCount < 1:
		return c, fmt.Errorf("cluster: limit below one: %d peers, %d rooms, count %d", c.maxPeers, c.maxRooms, c.maxCount)
	}
	return c, nil
}

// nameFor is the name of a node that was given none.
func nameFor(id incarnation) string {
	host, err := os.Hostname()
	if err != nil || len(host) > 200 || !utf8.ValidString(host) {
		host = "node"
	}
	return fmt.Sprintf("%s-%x", host, id[:4])
}

// rule is a set of rules of the protocol.
type rule uint

const (
	ruleDuplicate      rule = 1 << iota // a digest that is not newer is dropped
	ruleGap                             // a digest that does not follow is not applied but has a sync
	ruleHeartbeatSeq                    // a heartbeat of another seq has a sync
	ruleHeartbeatHash                   // one of another hash has a full resync
	ruleSyncLimit                       // at most one sync for each peer and second
	ruleLease                           // a peer without heartbeats is dropped
	ruleNewIncarnation                  // another one under the same name cuts the lease
	ruleSelfDoubt                       // no lease runs out while we may be the ones who are gone
	ruleMassLoss                        // many that vanish together are held
	ruleLossy                           // what a slow consumer lost is asked for
	ruleBye                             // who says Bye is dropped, and stays so
)

func (c *config) on(r rule) bool { return c.off&r == 0 }
