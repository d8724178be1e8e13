package core

import (
	"slices"
	"time"
)

// Machine is the state of a node. A method with a parameter now can change the deadline,
// and every method can add messages to Take.
type Machine struct {
	Counters
	cfg        Config
	members    members
	*feed      // the counts of this node; only with the role Mesh they are published to all nodes
	client     *client
	aggregator *aggregator
	replies    replies
	queries    queries
	batch      batch // used by all tables

	nextBeat     time.Duration // when the next regular heartbeat is due
	greetAt      time.Duration // when the next greeting is due
	lastBeat     time.Duration // when the last heartbeat was sent
	beats        uint64        // the number of sent heartbeats
	rounds       uint64        // the number of calls of sendHeartbeat
	beatDeadline time.Duration // after this time, the node is degraded unless it sends a heartbeat
	connected    bool          // whether the bus is connected
	lostAt       time.Duration // when the bus was disconnected
	busKnown     bool          // whether SetConnected was called
	freshAt      time.Duration // until this time, the node is degraded
	greetedAt    time.Duration // when the peers have greeted this node, or Never afterwards
	greeted      bool          // the peers have greeted this node
	ready        bool          // the node was synchronized once

	greeting   []*peer // the peers that wait for a greeting
	overloaded bool
	echo       echo
	otherRole  otherRole
	reasons    []Reason // the last result of Reasons
	messages   []Message
	closed     []Table
}

// New returns a Machine that is not connected. Before Start, only Ask and Result can be
// called.
func New(cfg Config) *Machine {
	cfg.Yield = every(batchLen, cfg.Yield)
	m := &Machine{
		cfg:       cfg,
		replies:   replies{writer: digestWriter{id: cfg.ID, name: cfg.Name}},
		queries:   queries{size: cfg.FlushSize / 2, active: map[uint64]*query{}, tops: map[uint64]*Top{}},
		nextBeat:  Never,
		greetAt:   Never,
		freshAt:   Never,
		greetedAt: Never,
	}
	m.members = newMembers(&m.cfg)
	m.feed = m.newFeed(Incarnation{}, cfg.MaxUsers)
	switch cfg.Role {
	case Client:
		m.client = &client{m: m, newRooms: map[string]time.Duration{}}
	case Aggregator:
		m.aggregator = newAggregator(m)
	}
	return m
}

// every returns a function that calls f in every nth call.
func every(n int, f func()) func() {
	calls := 0
	return func() {
		if calls++; calls%n == 0 {
			f()
		}
	}
}

// Start starts the node. The first heartbeat is due now.
func (m *Machine) Start(now time.Duration) {
	m.nextBeat = now
	if m.client != nil {
		m.client.others = m.cfg.NewTable(othersName)
	}
}

// Take returns the messages to publish, in order, and the tables to close.
func (m *Machine) Take() (messages []Message, closed []Table) {
	for q := m.queries.next(m.queried); q != nil; q = m.queries.next(m.queried) {
		if q.outstanding > 0 {
			shard := uint32(ToAll)
			if m.client != nil {
				shard = q.peers[0].id.Shard()
			}
			m.messages = append(m.messages, q.message(m.cfg.ID, shard))
		}
	}
	messages, closed = m.messages, m.closed
	m.messages, m.closed = nil, nil
	return messages, closed
}

// Sent reports that a message was published, or the error of publishing it. The parameter
// now is the time afterwards: publishing can block.
func (m *Machine) Sent(msg Message, err error, now time.Duration) {
	if err != nil {
		m.Unsent++
	} else {
		m.MessagesOut++
		m.BytesOut += uint64(len(msg.Payload))
	}
	switch {
	case msg.Kind == SyncRequest:
		msg.peer.stream.syncSent = now
	case msg.query != nil && err != nil:
		m.queries.fail(msg.query, err)
	case msg.Kind == SyncReply:
		if m.replies.sent(err != nil, now, m.cfg.Heartbeat) {
			m.Served++
		}
	case msg.beat > 0 && err == nil:
		m.echo.add(msg.beat, m.lastBeat)
		if m.rounds > 1 && !m.busKnown {
			// Another node has used this bus earlier and has read its first event. The bus is
			// connected, because the message was published.
			m.SetConnected(true, now)
		}
	}
}

// Deadline returns the time at which Tick is due.
func (m *Machine) Deadline() time.Duration {
	return min(m.nextBeat, m.greetAt, m.greetedAt, m.members.checkAt, m.replies.dueAt(), m.aggregator.dueAt())
}

// Ready reports whether the node was synchronized once: it has received the counts of
// every peer from which a heartbeat has arrived within one and a half heartbeat intervals.
func (m *Machine) Ready() bool {
	m.ready = m.ready || m.connected && m.greeted && m.client.complete() &&
		!slices.ContainsFunc(m.members.peers, func(p *peer) bool { return p.state == Live && p.stream.behind() })
	return m.ready
}

// CheckAt returns the time at which Tick can drop peers. If a call of Tick is late, the
// received messages must be handled before.
func (m *Machine) CheckAt() time.Duration { return m.members.checkAt }

// Tick handles the timers that are due. The size is the current maximum size of a message.
func (m *Machine) Tick(now time.Duration, size int) {
	if now >= m.greetAt {
		m.sendGreetings(now)
	}
	if now >= m.greetedAt {
		m.greeted, m.greetedAt = true, Never
	}
	if now >= m.members.checkAt || m.paused(now) {
		m.check(now)
	}
	if now >= m.nextBeat {
		m.nextBeat = max(m.nextBeat+m.cfg.Heartbeat, now+m.cfg.Heartbeat/2)
		for _, p := range m.members.peers {
			p.table.retryRefused()
		}
		m.sendHeartbeat(now)
	}
	if now >= m.aggregator.dueAt() {
		m.aggregator.publish(now)
	}
	if now >= m.replies.dueAt() {
		m.reply(now, size)
	}
}

func (m *Machine) paused(now time.Duration) bool { return now > m.nextBeat+m.cfg.Heartbeat }

// check drops the lost peers and repeats sync requests.
func (m *Machine) check(now time.Duration) {
	if m.paused(now) {
		m.Pauses++
		m.resume(now) // heartbeats were possibly missed during the pause
	}
	m.members.checkAt = Never
	if m.connected || m.members.heardSince(m.lostAt) {
		lost, dropped := m.members.expire(now)
		for _, p := range lost {
			m.Dropped++
			m.queries.remove(p) // but answer its sync request: it may be returning
			if m.client == nil {
				m.close(p.table.moveTo(newKeptCounts()))
			}
		}
		for _, p := range dropped {
			m.Dropped += uint64(toInt(p.state != Missing)) // a Missing peer was counted before
		}
		m.forget(dropped)
	}
	for _, p := range m.members.peers {
		m.requestSync(p, now)
	}
	m.client.place(now)
}

// resume starts all leases again after the node could not receive heartbeats. The node is
// degraded for one and a half heartbeat intervals: within this time, every live peer sends
// a heartbeat.
func (m *Machine) resume(now time.Duration) {
	m.members.renew(now)
	m.freshAt, m.nextBeat = now+m.cfg.Heartbeat*3/2, now
	if !m.greeted {
		m.greetedAt = m.freshAt
	}
	m.echo.reset()
}

// forget removes the state of dropped peers.
func (m *Machine) forget(dropped []*peer) {
	for _, p := range dropped {
		m.replies.remove(p.id)
		m.queries.remove(p)
		m.close(p.table.accepted)
	}
}

// close closes a table. Only a table of the engine is closed later, without a lock.
func (m *Machine) close(t Table) {
	if m.cfg.Role == Mesh {
		m.closed = append(m.closed, t)
	} else {
		_ = t.Close()
	}
}

func (m *Machine) send(msg Message) { m.messages = append(m.messages, msg) }

// SetConnected reports that the bus is connected or disconnected.
func (m *Machine) SetConnected(connected bool, now time.Duration) {
	m.connected, m.busKnown, m.lostAt = connected, true, now
	if connected {
		m.resume(now)
		for _, p := range m.members.peers {
			p.stream.attempts = 0
		}
	}
}

// SetLossy reports that the bus has lost messages to this node. The peers' next heartbeats
// show which changes were lost.
func (m *Machine) SetLossy(now time.Duration) {
	m.Lossy++
	m.freshAt = max(m.freshAt, now+m.cfg.Heartbeat*3/2)
}

// SetOverloaded reports whether many messages wait to be handled. An overloaded node only
// renews leases with heartbeats.
func (m *Machine) SetOverloaded(overloaded bool) { m.overloaded = overloaded }

// Stop sends a Bye and drops all peers. The tables are not closed.
func (m *Machine) Stop() {
	msg := Message{Kind: Bye, Payload: (&bye{m.cfg.ID}).encode()}
	if m.cfg.Role == Client {
		msg.Shard = ToAggregators
	}
	m.messages = []Message{msg}
	m.members, m.connected = newMembers(&m.cfg), false
}

// Change publishes the rooms whose counts or users differ from the last published ones. Each
// digest is one flush.
func (m *Machine) Change(rooms []Change, now time.Duration) {
	for _, e := range rooms {
		m.cfg.Yield()
		// Publish the counts of the event, and not newer counts of the engine. The engine
		// sends no event for a change that is undone within its interval. Therefore no later
		// event would correct the newer counts.
		counts := toRoomCounts(e.Occupancy)
		if counts == 0 && e.Interested && m.client != nil {
			counts = interestOnly
		}
		users := m.users[e.Room]
		if len(e.Entered)+len(e.Exited) > 0 {
			users.hashes = mergeUsers(users.hashes, e.Entered, e.Exited)
		}
		if m.client == nil {
			m.set(e.Room, counts, users)
			continue
		}
		m.client.change(e.Room, counts, users, now)
	}
	m.flush(false)
	m.client.flush()
}
