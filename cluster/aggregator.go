package cluster

import (
	"context"
	"time"

	"github.com/occupancy/occupancy/cluster/internal/core"
)

// Aggregator collects the counts of all nodes and publishes to each node the sums of the others:
// see [WithAggregator]. It shares the bus of the node in the same process, but it does not use the
// engine: that node is one of the nodes whose counts it collects.
type Aggregator struct {
	*driver
	events *BusEvents // the events of the bus, which the node passes on
}

// aggregatorSuffix is the end of the name of an aggregator.
const aggregatorSuffix = " (aggregator)"

// aggregatorInbox is the capacity of an aggregator's inbox. All nodes flush at the same time.
const aggregatorInbox = 16 << 10

// afterFlush is the time between the flushes of the nodes and that of an aggregator.
const afterFlush = 30 * time.Millisecond

func newAggregator(ctx context.Context, cfg config, bus Bus) *Aggregator {
	cfg.ID, cfg.Name, cfg.Role = cfg.aggregatorID, cfg.Name+aggregatorSuffix, core.Aggregator
	cfg.log = cfg.log.With("node", cfg.Name) // the node in the same process has the same logger
	a := &Aggregator{driver: newDriver(ctx, cfg, bus, aggregatorInbox), events: NewBusEvents()}
	a.NextFlush = func(now time.Duration) time.Duration { return now + a.untilFlush(afterFlush) }
	a.core = core.New(a.Config)
	a.core.Start(a.now())
	return a
}

func (a *Aggregator) subjects() []Subject {
	me := a.ID.Shard()
	return []Subject{
		{KindHeartbeat, core.ToAll}, {KindBye, core.ToAll},
		{KindHeartbeat, core.ToAggregators}, {KindBye, core.ToAggregators},
		{KindDigest, me}, {KindHeartbeat, me}, {KindSyncRequest, me}, {KindSyncReply, me}, {KindQuery, me},
	}
}

func (a *Aggregator) run() {
	timer := time.NewTimer(core.Never)
	for a.ctx.Err() == nil {
		next := a.tick()
		a.report()
		timer.Reset(next - a.now())
		select {
		case e := <-a.events.C():
			a.handleBusEvent(e)
		case m := <-a.inbox:
			a.receiveAll(m)
		case <-timer.C:
		case <-a.ctx.Done():
		}
	}
}

// Health returns the state of the aggregator; its peers are all nodes of the service. It does not
// wait for the bus.
func (a *Aggregator) Health() Health { return a.health() }

// Aggregator returns the aggregator in this process, or nil without [WithAggregator].
func (n *Node) Aggregator() *Aggregator { return n.aggregator }
