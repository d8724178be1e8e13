package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// Node links an engine to the engines of the other nodes. Create a Node with [Start]. All
// methods can be called from any goroutine.
type Node struct {
	config
	id    incarnation
	eng   *occupancy.Engine
	link  *occupancy.Link
	bus   Bus
	start time.Time // times are stored as durations since start

	ctx     context.Context // done after Close
	cancel  context.CancelFunc
	closed  chan struct{}              // closed when the node's goroutines have ended
	inbox   chan Message               // messages from the bus, in order
	changes chan []occupancy.RoomEvent // changes of this process's counts; closed when the engine is closed
	gets    chan *getCall              // calls of Get that wait for a query
	tally                              // counters for Health

	// Only the goroutine of run uses the following.
	events        <-chan BusEvent // nil when the bus is closed
	ledger        *ledger
	flushWriter   digestWriter
	replyWriter   digestWriter
	nextBeat      time.Duration // when the next regular heartbeat is due
	greetAt       time.Duration // when the next greeting is due
	lastBeat      time.Duration // when the last heartbeat was published
	beats         uint64        // the number of published heartbeats
	busStateKnown bool          // whether the bus has reported Connected or Disconnected
	buf           []byte
	outbox        []outgoing    // messages to publish after mu is unlocked
	syncRequests  []syncRequest // queued requests of known peers; the first is answered next
	nextReply     time.Duration // when the next sync request can be answered

	// mu protects the following. Except for queries, only the goroutine of run changes these
	// fields, so this goroutine can read them without mu. It must not hold mu during Publish.
	mu              sync.Mutex
	peers           []*peer // in the order of their first messages
	byID            map[incarnation]*peer
	recentlyDropped map[incarnation]droppedPeer
	recentLosses    []time.Duration // the times at which peers were dropped, not longer ago than the length of a lease
	checkAt         time.Duration   // when checkPeers is due
	connected       bool            // whether the bus is connected
	freshAt         time.Duration   // until this time, the node is Degraded
	beatDeadline    time.Duration   // after this time, the node is Degraded unless it sends a heartbeat
	queries         map[uint64]*query
	lastQueryID     uint64
	closing         []*occupancy.Remote // Remotes of dropped peers, to close after mu is unlocked
	batch           *batch              // used by all peers
}

// outgoing is a message to publish.
type outgoing struct {
	to       Subject
	payload  []byte
	syncPeer *peer // the receiver of a sync request
}

// inboxLen is the capacity of the inbox. A hundred peers send about 600 messages per
// second. If the inbox is full, the bus drops messages, and the node requests the lost
// changes.
const inboxLen = 1024

// never is a time that is never reached.
const never = time.Duration(1<<63 - 1)

// Start links the engine to the other nodes on the bus. The node publishes this process's
// counts. When it receives the counts of a peer, it adds them to the engine's Current, All
// and events. [occupancy.Engine.Get] queries the peers.
//
// After the start, the node needs up to one and a half heartbeat intervals to know all
// peers; [Health] reports Degraded during this time. The context limits the start only.
//
// The caller must close the node before the engine and the bus. The error is
// [occupancy.ErrLinked] if the engine is already linked, and [occupancy.ErrClosed] if the
// engine is closed. Other errors are about an invalid option or about the bus. After an
// error, the engine is not linked and can be passed to Start again.
func Start(ctx context.Context, eng *occupancy.Engine, bus Bus, opts ...Option) (*Node, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	if size := bus.MaxPayload(); size < MinPayload {
		return nil, fmt.Errorf("cluster: maximum payload of the bus is too small: %d bytes; it must be at least %d", size, MinPayload)
	}
	n := &Node{
		config:          cfg,
		eng:             eng,
		bus:             bus,
		start:           time.Now(),
		closed:          make(chan struct{}),
		inbox:           make(chan Message, inboxLen),
		changes:         make(chan []occupancy.RoomEvent),
		gets:            make(chan *getCall, inboxLen),
		events:          bus.Events(),
		ledger:          newLedger(cfg.tombstoneSlack),
		batch:           new(batch),
		byID:            map[incarnation]*peer{},
		recentlyDropped: map[incarnation]droppedPeer{},
		greetAt:         never,
		checkAt:         never,
		freshAt:         never,
		queries:         map[uint64]*query{},
	}
	if _, err := io.ReadFull(cfg.entropy, n.id[:]); err != nil {
		return nil, fmt.Errorf("cluster: cannot read random bits: %w", err)
	}
	if n.name == "" {
		n.name = defaultName(n.id)
	}
	n.flushWriter = digestWriter{id: n.id, name: n.name, limit: n.flushSize}
	n.replyWriter = digestWriter{id: n.id, name: n.name}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	// When Link has returned, the engine can call Get.
	if n.link, err = eng.Link((*linkPeers)(n)); err != nil {
		n.cancel()
		return nil, fmt.Errorf("cluster: cannot link the engine: %w", err)
	}
	watch, err := n.link.Watch()
	if err != nil {
		n.unlink()
		return nil, fmt.Errorf("cluster: cannot link the engine: %w", err)
	}
	sub, err := bus.Subscribe(ctx, n.subjects(), n.inbox)
	if err != nil {
		n.unlink()
		return nil, fmt.Errorf("cluster: cannot subscribe on the bus: %w", err)
	}
	n.nextBeat = n.now() // the time that Subscribe took is not a pause of the node
	var goroutines sync.WaitGroup
	goroutines.Go(func() { n.forwardChanges(watch) })
	goroutines.Go(n.run)
	go func() {
		goroutines.Wait()
		_ = sub.Close()
		n.shutdown()
		close(n.closed)
	}()
	return n, nil
}

func (n *Node) unlink() {
	n.cancel()
	_ = n.link.Close()
}

// subjects returns the subjects that the node subscribes to.
func (n *Node) subjects() []Subject {
	me := n.id.shard()
	return []Subject{
		{KindDigest, 0}, {KindHeartbeat, 0}, {KindBye, 0}, {KindQuery, 0},
		{KindAnswer, me}, {KindSyncRequest, me}, {KindSyncReply, me},
	}
}

// Close stops the node. It publishes a Bye, so that the peers remove this node's counts at
// once. It then unlinks the engine. From then on, the engine returns only the counts of this
// process. Close waits for a Publish in progress, and then for at most one heartbeat
// interval until the bus has accepted the Bye. Close can be called more than once. The
// error is always nil.
func (n *Node) Close() error {
	n.cancel()
	<-n.closed
	return nil
}

// shutdown publishes the Bye and unlinks the engine. The method run has returned already.
func (n *Node) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), n.heartbeat)
	defer cancel()
	_ = n.publish(ctx, Subject{KindBye, 0}, (&bye{n.id}).append(n.buf[:0]))
	n.mu.Lock()
	n.peers, n.byID, n.connected = nil, nil, false
	n.mu.Unlock()
	n.unlink()
}

// forwardChanges sends the changes of this process's counts to n.changes and then waits
// for the next flush. During this wait, the watcher collects the changes, each room once.
func (n *Node) forwardChanges(watch *occupancy.Watcher) {
	defer func() { _ = watch.Close() }()
	for {
		rooms, err := watch.Next(n.ctx)
		if err != nil {
			if errors.Is(err, occupancy.ErrClosed) {
				close(n.changes)
			}
			return
		}
		select {
		case n.changes <- rooms:
		case <-n.ctx.Done():
			return
		}
		if len(rooms) >= maxWatchBatch {
			continue // the watcher may have more changes that are due
		}
		select {
		case <-time.After(n.untilFlush()):
		case <-n.ctx.Done():
			return
		}
	}
}

// untilFlush returns the time until the next flush. Flushes are due at multiples of the
// flush interval on the wall clock. Nodes whose clocks agree flush at the same time, so a
// broker can send the digests of many nodes to a connection with one write. Writes are
// most of a broker's work if there are many nodes. Nothing else depends on the wall clock.
func (n *Node) untilFlush() time.Duration {
	now := time.Now().Add(n.clockSkew)
	return n.flush - now.Sub(now.Truncate(n.flush))
}

// now returns the time since the start of the node.
func (n *Node) now() time.Duration { return time.Since(n.start) }

// publish publishes a message. If Publish fails, the peers handle it like a lost message.
func (n *Node) publish(ctx context.Context, to Subject, payload []byte) error {
	if err := n.bus.Publish(ctx, to, payload); err != nil {
		n.unsent.Add(1)
		return err
	}
	n.messagesOut.Add(1)
	n.bytesOut.Add(uint64(len(payload)))
	return nil
}
