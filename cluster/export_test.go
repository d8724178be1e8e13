package cluster

import "io"

// WithEntropy sets the source of the incarnations: of the node and of its aggregator.
func WithEntropy(r io.Reader) Option { return func(c *config) { c.entropy = r } }

// WithSizes sets the maximum sizes of digests and the number of tombstones that are always
// kept. With small sizes, a few rooms already need many digests.
func WithSizes(flush, reply, spare int) Option {
	return func(c *config) { c.FlushSize, c.ReplySize, c.TombstoneSlack = flush, reply, spare }
}

// Shard returns the shard of the messages to this node.
func Shard(n *Node) uint32 { return n.ID.Shard() }
