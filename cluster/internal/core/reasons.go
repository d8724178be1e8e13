package core

import (
	"slices"
	"time"
)

// Reason is a reason for which counts of other nodes may be incomplete or out of date.
type Reason struct {
	Text  string
	Since time.Duration
}

// otherRole is a node with the role Mesh, if this node has another role, or the reverse. If there
// are several such nodes, it keeps the same one while its heartbeats arrive.
type otherRole struct {
	name  string
	until time.Duration // the named node may have stopped after this time
	any   time.Duration // all such nodes may have stopped after this time
}

// heartbeat handles a heartbeat of such a node, which is a sign of life until a time.
func (o *otherRole) heartbeat(name string, now, until time.Duration) {
	if name == o.name || now >= o.until {
		o.name, o.until = name, until
	}
	o.any = until
}

// Reasons returns the current reasons. The node is degraded if there are any.
func (m *Machine) Reasons(now time.Duration) []Reason {
	var all []Reason
	add := func(applies bool, text string, peers ...string) {
		if !applies {
			return
		}
		for _, name := range peers {
			text += ": " + name
		}
		if slices.ContainsFunc(all, func(r Reason) bool { return r.Text == text }) {
			return // two aggregators have reported the same
		}
		since := now
		if i := slices.IndexFunc(m.reasons, func(r Reason) bool { return r.Text == text }); i >= 0 {
			since = m.reasons[i].Since
		}
		all = append(all, Reason{text, since})
	}
	add(!m.connected, "the bus is disconnected")
	add(m.overloaded, "this node is overloaded: many messages wait")
	add(now < m.freshAt, "this node has just started or resumed, or the bus has lost messages")
	add(now > m.beatDeadline, "this node was paused")
	add(m.echo.waiting(now) > 2*m.cfg.Heartbeat, "own heartbeats are not delivered")
	add(m.echo.delay > m.cfg.Lease/2, "the delay of the bus is longer than half a lease")
	add(m.fewNodes(), errExpectedNodes.Error())
	add(now < m.otherRole.any, "not all nodes use WithSharding", m.otherRole.name)
	if m.client != nil {
		m.client.reasons(now, add)
		m.reasons = all
		return all
	}
	for _, p := range m.members.peers {
		// Use beatAt, because renew changes leaseStart without a heartbeat.
		late := p.state == Suspect || p.state == Live && now >= p.beatAt+m.members.lease(p)
		add(p.state == Missing, "missing", p.name)
		add(p.state == Held, "lost together with most peers", p.name)
		add(p.unsupported, "unsupported version of the protocol", p.name)
		add(p.otherSecret && p.state != Missing, "different secret, so users count more than once", p.name)
		add(late, "no heartbeat within the lease", p.name)
		add(p.state != Missing && (p.stream.behind() || m.aggregator.incomplete(p, now)), "changes are missing", p.name)
		add(len(p.table.refused) > 0, "counts are refused", p.name)
		add(p.table.overLimit, "more rooms than WithMaxRooms", p.name)
	}
	m.reasons = all
	return all
}

// BusDelay returns the time that a heartbeat of this node needs to return.
func (m *Machine) BusDelay(now time.Duration) time.Duration {
	return max(m.echo.delay, m.echo.waiting(now))
}
