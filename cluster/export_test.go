package cluster

import (
	"io"
	"time"

	"github.com/occupancy/occupancy"
)

// WithEntropy sets the source of the incarnation.
func WithEntropy(r io.Reader) Option { return func(c *config) { c.entropy = r } }

// WithClockSkew adds d to the wall clock of the node.
func WithClockSkew(d time.Duration) Option { return func(c *config) { c.clockSkew = d } }

// WithoutRule disables a rule.
func WithoutRule(rule rules) Option { return func(c *config) { c.disabledRules |= rule } }

// The rules.
const (
	RuleDuplicate      = ruleDuplicate
	RuleGap            = ruleGap
	RuleHeartbeatSeq   = ruleHeartbeatSeq
	RuleHeartbeatHash  = ruleHeartbeatHash
	RuleSyncLimit      = ruleSyncLimit
	RuleLease          = ruleLease
	RuleNewIncarnation = ruleNewIncarnation
	RuleOwnOutage      = ruleOwnOutage
	RuleMassLoss       = ruleMassLoss
	RuleLossy          = ruleLossy
	RuleBye            = ruleBye
)

// WithSizes sets the maximum sizes of digests and the number of tombstones that are always
// kept. With small sizes, a few rooms already need many digests.
func WithSizes(flush, reply, spare int) Option {
	return func(c *config) { c.flushSize, c.replySize, c.tombstoneSlack = flush, reply, spare }
}

// Hash returns the hash in the heartbeat of a node that has these rooms.
func Hash(rooms map[string]occupancy.Occupancy) (sum uint64) {
	for room, o := range rooms {
		sum += hashRoom(room, toRoomCounts(o))
	}
	return sum
}

// RecentlyDropped returns the number of dropped peers whose state is kept.
func RecentlyDropped(n *Node) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.recentlyDropped)
}

// Shard returns the shard of the messages to this node.
func Shard(n *Node) uint32 { return n.id.shard() }
