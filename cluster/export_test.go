package cluster

import "io"

// WithEntropy draws the incarnation from r.
func WithEntropy(r io.Reader) Option { return func(c *config) { c.entropy = r } }

// Without switches rules off.
func Without(r rule) Option { return func(c *config) { c.off |= r } }

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
