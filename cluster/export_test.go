package cluster

import (
	"io"
	"time"

	"github.com/occupancy/occupancy"
)

// WithEntropy draws the incarnation from r.
func WithEntropy(r io.Reader) Option { return func(c *config) { c.entropy = r } }

// WithSkew has the node's clock go before the others'.
func WithSkew(d time.Duration) Option { return func(c *config) { c.clockSkew = d } }

// Without switches rules off.
func Without(r rule) Option { return func(c *config) { c.disabledRules |= r } }

// The rules.
const (
	RuleDuplicate      = ruleDuplicate
	RuleGap            = ruleGap
	RuleHeartbeatSeq   = ruleHeartbeatSeq
	RuleHeartbeatHash  = ruleHeartbeatHash
	RuleSyncLimit      = ruleSyncLimit
	RuleLease          = ruleLease
	RuleNewIncarnation = ruleNewIncarnation
	RuleSelfDoubt      = ruleSelfDoubt
	RuleMassLoss       = ruleMassLoss
	RuleLossy          = ruleLossy
	RuleBye            = ruleBye
)

// WithSizes limits the digests of flushes and of replies, so that few rooms need many, and
// how many emptied rooms are remembered.
func WithSizes(flush, reply, spare int) Option {
	return func(c *config) { c.flushSize, c.replySize, c.tombstoneSlack = flush, reply, spare }
}

// Hash is what a heartbeat says of these rooms.
func Hash(rooms map[string]occupancy.Occupancy) (sum uint64) {
	for room, o := range rooms {
		sum += hashOf(room, pack(o))
	}
	return sum
}

// Departed is how many peers are remembered that were dropped.
func Departed(n *Node) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.recentlyDropped)
}

// Shard is where messages to this node alone go.
func Shard(n *Node) uint32 { return n.id.shard() }
