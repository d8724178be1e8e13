package cluster

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// Node links an engine to the engines of the other nodes. Create a Node with [Start]. All
// methods can be called from any goroutine.
type Node struct {
	*driver
	engine     *occupancy.Engine
	link       *occupancy.Link
	aggregator *Aggregator // nil without WithAggregator

	cancel  context.CancelFunc
	closed  chan struct{}   // closed when the node's goroutines have ended
	events  <-chan BusEvent // nil when the bus is closed
	answers chan Message
	history chan Message       // messages of KindTrends
	linked  chan struct{}      // receives a value when a running peer was added
	changes chan []core.Change // changes of this process's counts; closed when the engine is closed
	asked   chan struct{}      // receives a value when a call of Get waits for a query
	ready   chan struct{}      // closed when the node is ready
	waiting atomic.Int64       // see Health.Waiting
}

// inboxLen is the capacity of the inbox. A hundred peers send about 600 messages per
// second. If the inbox is full, the bus drops messages, and the node requests the lost
// changes.
const inboxLen = 1024

// answersLen is the capacity of the channel for answers. It is enough for four queries to a
// thousand peers. If answers filled the inbox, the bus would drop digests.
const answersLen = 4096

// Start links the engine to the other nodes on the bus. The node publishes this process's
// counts. When it receives the counts of a peer, it adds them to the engine's Current, All
// and events. [occupancy.Engine.Get] queries the peers.
//
// After the start, the node needs up to one and a half heartbeat intervals to know all
// peers: call [Node.Ready] before the process serves clients. [Health] reports Degraded
// during this time. The context limits the start only.
//
// The caller must close the node before the engine and the bus. The error is
// [occupancy.ErrLinked] if the engine is already linked, [ErrBusInUse] if another node uses
// the bus, and [occupancy.ErrClosed] if the engine is closed. Other errors are about an
// invalid option or about the bus. After an error, the engine is not linked and can be
// passed to Start again.
func Start(ctx context.Context, eng *occupancy.Engine, bus Bus, opts ...Option) (*Node, error) {
	cfg, err := newConfig(eng, opts)
	if err != nil {
		return nil, err
	}
	if size := bus.MaxPayload(); size < MinPayload {
		return nil, fmt.Errorf("cluster: maximum payload of the bus is too small: %d bytes; it must be at least %d", size, MinPayload)
	}
	for _, id := range [][]byte{cfg.ID[:], cfg.aggregatorID[:]} {
		if _, err := io.ReadFull(cfg.entropy, id); err != nil {
			return nil, fmt.Errorf("cluster: cannot read random bits: %w", err)
		}
	}
	if cfg.Name == "" {
		cfg.Name = defaultName(cfg.ID)
	}
	if _, inUse := busesInUse.LoadOrStore(bus.Events(), true); inUse {
		return nil, ErrBusInUse
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{
		driver:  newDriver(running, cfg, bus, inboxLen),
		engine:  eng,
		cancel:  cancel,
		closed:  make(chan struct{}),
		events:  bus.Events(),
		answers: make(chan Message, answersLen),
		history: make(chan Message, inboxLen),
		linked:  make(chan struct{}, 1),
		changes: make(chan []core.Change),
		asked:   make(chan struct{}, 1),
		ready:   make(chan struct{}),
	}
	n.Local = eng.Local
	n.NewTable = func(name string) core.Table { return n.link.Remote(name) }
	if n.trends != nil {
		n.Expect = n.expect
	}
	n.core = core.New(n.Config)
	options := []occupancy.LinkOption{occupancy.WithUserHash(cfg.hashUser)}
	if n.Role == core.Client {
		options = append(options, occupancy.WithInterest())
	}
	// When Link has returned, the engine can call Get.
	if n.link, err = eng.Link((*linkPeers)(n), options...); err != nil {
		busesInUse.Delete(bus.Events())
		n.cancel()
		return nil, fmt.Errorf("cluster: cannot link the engine: %w", err)
	}
	watch, err := n.link.Watch()
	if err != nil {
		n.unlink()
		return nil, fmt.Errorf("cluster: cannot link the engine: %w", err)
	}
	if n.aggregate {
		n.aggregator = newAggregator(running, cfg, bus)
	}
	var subscriptions []io.Closer
	for subjects, out := range n.subscriptions() {
		sub, err := bus.Subscribe(ctx, subjects, out)
		if err != nil {
			for _, sub := range subscriptions {
				_ = sub.Close()
			}
			n.unlink()
			return nil, fmt.Errorf("cluster: cannot subscribe on the bus: %w", err)
		}
		subscriptions = append(subscriptions, sub)
	}
	n.core.Start(n.now())
	var goroutines sync.WaitGroup
	goroutines.Go(func() { n.forwardChanges(watch) })
	goroutines.Go(n.run)
	if n.aggregator != nil {
		goroutines.Go(n.aggregator.run)
	}
	if n.sharesTrends() {
		goroutines.Go(n.shareTrends)
	}
	go func() {
		goroutines.Wait()
		n.shutdown(subscriptions)
		close(n.closed)
	}()
	return n, nil
}

// busesInUse contains the Events channel of each Bus that a node uses.
var busesInUse sync.Map

func (n *Node) unlink() {
	n.cancel()
	_ = n.link.Close()
	busesInUse.Delete(n.bus.Events())
}

// Ready returns when the node has received the counts of all peers from which a heartbeat
// has arrived within one and a half heartbeat intervals. Before this time, the counts on a
// new node are too small. Later calls return at once.
//
// Ready waits until the bus is connected. The error is that of ctx, or
// [occupancy.ErrClosed] after Close.
func (n *Node) Ready(ctx context.Context) error {
	select {
	case <-n.ready:
		return nil
	case <-n.ctx.Done():
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isReady reports whether Ready returns nil at once.
func (n *Node) isReady() bool {
	select {
	case <-n.ready:
		return true
	default:
		return false
	}
}

// subscriptions returns the subjects of this node, with the channels for their messages.
func (n *Node) subscriptions() iter.Seq2[[]Subject, chan<- Message] {
	return func(yield func([]Subject, chan<- Message) bool) {
		me := n.ID.Shard()
		subjects := []Subject{
			{KindHeartbeat, core.ToAll}, {KindBye, core.ToAll},
			{KindHeartbeat, me}, {KindSyncRequest, me}, {KindSyncReply, me},
		}
		if n.Role == core.Mesh {
			subjects = append(subjects, Subject{KindDigest, core.ToAll}, Subject{KindQuery, core.ToAll})
		} else {
			subjects = append(subjects, Subject{KindDigest, me})
		}
		_ = yield(subjects, n.inbox) &&
			yield([]Subject{{KindAnswer, me}}, n.answers) &&
			(n.aggregator == nil || yield(n.aggregator.subjects(), n.aggregator.inbox)) &&
			n.sharesTrends() && yield([]Subject{{KindTrends, me}}, n.history)
	}
}

// Close stops the node. It publishes a Bye, so that the peers remove this node's counts at
// once. The engine keeps the last received counts of the peers, without any event, until it
// is closed or linked again: so the subscribers in this process receive no incomplete
// counts while it stops. Get returns an error from then on.
//
// Close waits for a Publish in progress, and then for at most one heartbeat interval until
// the bus has accepted the Bye. Close can be called more than once. The error is always nil.
func (n *Node) Close() error {
	n.cancel()
	<-n.closed
	return nil
}

// shutdown publishes the Bye and releases the engine and the bus. The method run has
// returned already.
func (n *Node) shutdown(subscriptions []io.Closer) {
	ctx, cancel := context.WithTimeout(context.Background(), n.Heartbeat)
	defer cancel()
	n.stop(ctx)
	if n.aggregator != nil {
		n.aggregator.stop(ctx)
	}
	for _, sub := range subscriptions {
		_ = sub.Close()
	}
	n.link.Release()
	busesInUse.Delete(n.bus.Events())
}
