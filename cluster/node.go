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

// Node links an engine to those of the other nodes. Make it with [Start]. All its methods
// may be called from any goroutine.
type Node struct {
	config
	id    incarnation
	eng   *occupancy.Engine
	link  *occupancy.Link
	bus   Bus
	start time.Time // times are kept as durations since then

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	ended   chan struct{}              // closed when the node's goroutines have ended
	inbox   chan Message               // what the bus delivers, in order
	changes chan []occupancy.RoomEvent // rooms whose local part changed; closed if the engine is
	asks    chan *ask                  // of Get
	tally                              // counted as it happens, for Health

	// Only the node's loop uses the following.
	events  <-chan BusEvent // nil when the bus is closed
	ledger  *ledger
	flushes digestWriter  // a flush's
	replies digestWriter  // a sync's
	beatDue time.Duration // the next heartbeat
	greet   time.Duration // one before that, for a peer that appeared
	beaten  time.Duration // the last one
	beats   uint64
	told    bool // the bus has said how it is
	buf     []byte
	outbox  []outgoing    // to publish when mu is free
	wanted  []syncRequest // of the peers there are, in the order of their turns
	rested  time.Duration // when to serve the next of them

	// mu protects the following. The loop changes it, and publishes only after.
	mu        sync.Mutex
	peers     []*peer // in the order of their appearance
	byID      map[incarnation]*peer
	gone      map[incarnation]departed
	lost      []time.Duration // when leases ended of late
	due       time.Duration   // when to look after the peers again
	connected bool            // the bus is
	settled   time.Duration   // by then every live peer has been heard
	late      time.Duration   // if no heartbeat was sent by then, this node stands still
	queries   map[uint64]*query
	queried   uint64 // the last query's id
	unlinked  []*occupancy.Remote
	batch     *batch // of the peers
}

// outgoing is a message that is to be published.
type outgoing struct {
	to      Subject
	payload []byte
	asks    *peer // whom it asks for a sync
}

// queue is how many messages may wait for the node: more than a second of a hundred
// peers. When it is full they are lost, and what they said is synced.
const queue = 1024

// never is later than anything.
const never = time.Duration(1<<63 - 1)

// Start links the engine to the nodes on the bus, of which ctx limits only the start.
// The node publishes this process's part of each room, and the peers' parts count in
// the engine's Current, All and events as soon as they are heard of: within a
// heartbeat, until when [Health] says Degraded. [occupancy.Engine.Get] asks the peers.
//
// Link an engine to one node only, and close the node before the engine and the bus. An
// error means that an option cannot be, that the engine is closed, or that the bus did
// not subscribe.
func Start(ctx context.Context, eng *occupancy.Engine, bus Bus, opts ...Option) (*Node, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	if most := bus.MaxPayload(); most < MinPayload {
		return nil, fmt.Errorf("cluster: the bus's payloads of %d bytes are too small, %d is the least", most, MinPayload)
	}
	n := &Node{
		config:  cfg,
		eng:     eng,
		bus:     bus,
		ended:   make(chan struct{}),
		inbox:   make(chan Message, queue),
		changes: make(chan []occupancy.RoomEvent),
		asks:    make(chan *ask, queue),
		events:  bus.Events(),
		ledger:  newLedger(cfg.spare),
		batch:   newBatch(),
		byID:    map[incarnation]*peer{},
		gone:    map[incarnation]departed{},
		greet:   never,
		due:     never,
		settled: never,
		queries: map[uint64]*query{},
	}
	if _, err := io.ReadFull(cfg.entropy, n.id[:]); err != nil {
		return nil, fmt.Errorf("cluster: no random bits: %w", err)
	}
	if n.name == "" {
		n.name = nameFor(n.id)
	}
	n.flushes = digestWriter{id: n.id, name: n.name, limit: n.flushSize}
	n.replies = digestWriter{id: n.id, name: n.name}
	if n.link, err = eng.Link((*peers)(n)); err != nil {
		return nil, fmt.Errorf("cluster: engine: %w", err)
	}
	watch, err := n.link.Watch()
	if err != nil {
		_ = n.link.Close()
		return nil, fmt.Errorf("cluster: engine: %w", err)
	}
	sub, err := bus.Subscribe(ctx, n.subjects(), n.inbox)
	if err != nil {
		_ = n.link.Close()
		return nil, fmt.Errorf("cluster: bus: %w", err)
	}
	n.start = time.Now() // now, for a bus that was slow to subscribe is no doubt
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var goroutines sync.WaitGroup
	goroutines.Go(func() { n.listen(watch) })
	goroutines.Go(n.run)
	go func() {
		goroutines.Wait()
		_ = sub.Close() // nothing to be done about one that does not
		n.leave()
		close(n.ended)
	}()
	return n, nil
}

// subjects is what a node hears.
func (n *Node) subjects() []Subject {
	me := n.id.shard()
	return []Subject{
		{KindDigest, 0}, {KindHeartbeat, 0}, {KindBye, 0}, {KindQuery, 0},
		{KindAnswer, me}, {KindSyncRequest, me}, {KindSyncReply, me},
	}
}

// Close says Bye, so that the peers drop this node's part at once, and unlinks the engine,
// which then counts this process alone. It waits for the bus to take what is just being
// published, and a heartbeat at most for it to take the Bye. It may be called more than
// once; the error is always nil.
func (n *Node) Close() error {
	n.cancel()
	<-n.ended
	return nil
}

// leave is the end, after the loop's.
func (n *Node) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), n.heartbeat)
	defer cancel()
	_ = n.publish(ctx, Subject{KindBye, 0}, (&bye{n.id}).append(n.buf[:0]))
	n.mu.Lock()
	n.peers, n.byID, n.connected = nil, nil, false
	n.mu.Unlock()
	_ = n.link.Close()
}

// listen passes on which rooms changed here, and then waits for the next flush: what
// changes meanwhile gathers in the watcher, where each room is once.
func (n *Node) listen(watch *occupancy.Watcher) {
	defer watch.Close()
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
		if len(rooms) >= fullBatch {
			continue // there may be more, which waited as long
		}
		select {
		case <-time.After(n.untilFlush()):
		case <-n.ctx.Done():
			return
		}
	}
}

// untilFlush is how long until the next flush, which is when the clock shows a multiple of
// its time. So all nodes flush at once, as far as their clocks agree, and a server writes
// to each of them once what came from many, which is most of its work where nodes are
// many. Nothing else depends on the clock.
func (n *Node) untilFlush() time.Duration {
	now := time.Now().Add(n.skew)
	return n.flush - now.Sub(now.Truncate(n.flush))
}

// now is the node's clock.
func (n *Node) now() time.Duration { return time.Since(n.start) }

// publish has the bus take a message. Where it does not, that is noticed like any loss.
func (n *Node) publish(ctx context.Context, to Subject, payload []byte) error {
	if err := n.bus.Publish(ctx, to, payload); err != nil {
		n.unsent.Add(1)
		return err
	}
	n.messagesOut.Add(1)
	n.bytesOut.Add(uint64(len(payload)))
	return nil
}
