package verify

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/occupancy/occupancy"
	"pgregory.net/rapid"
)

// remote is the parts of another node. The values are in the roomStates.
type remote struct {
	r      *occupancy.Remote
	closed bool
}

func (m *machine) remote(t *rapid.T) {
	if len(m.remotes) == 3 {
		t.Skip("there are three already")
	}
	m.remotes = append(m.remotes, &remote{r: m.link.Remote("node"), closed: m.closed})
}

var parts = rapid.SampledFrom([]int{0, 1, 2, 0, 1, most, -1, math.MaxInt})

// drawPart draws a part of another node, which may be impossible.
func drawPart(t *rapid.T) occupancy.Occupancy {
	return occupancy.Occupancy{
		Connections: parts.Draw(t, "connections"), PresenceMembers: parts.Draw(t, "members"), Users: parts.Draw(t, "users"),
	}
}

// accept returns the part as the engine counts it, and whether it is possible.
func (b *reference) accept(o occupancy.Occupancy) (occupancy.Occupancy, bool) {
	possible := fits(o.Connections) && fits(o.PresenceMembers) && fits(o.Users) && o.Users <= o.PresenceMembers
	if !b.users {
		o.Users = 0
	}
	return o, possible
}

func fits(n int) bool { return 0 <= n && n <= most }

func (m *machine) set(t *rapid.T) {
	r := pick(t, "remote", m.remotes)
	room, want := m.name(t)
	sent := occupancy.Part{Room: room, Occupancy: drawPart(t)}
	ids := rapid.SliceOfNDistinct(rapid.SampledFrom(clients), 0, 2, rapid.ID).Draw(t, "users")
	if len(ids) > 0 {
		sent.Occupancy.Users = 0
		sent.Users = hashes(ids)
	}
	o, possible := m.accept(sent.Occupancy)
	if o.PresenceMembers <= 0 {
		ids = nil
	}
	if m.users && len(ids) > 0 {
		o.Users = min(len(ids), o.PresenceMembers)
	}
	slices.Sort(ids)
	part := part{o, strings.Join(ids, " ")}
	p := m.state(room)
	was := p.parts[r]
	delete(p.parts, r)
	others := p.remote()
	if was.Occupancy != (occupancy.Occupancy{}) {
		p.parts[r] = was
	}
	switch {
	case r.closed:
		want = occupancy.ErrClosed
	case want != nil:
	case !possible:
		want = occupancy.ErrCount
	case part == was:
	case int64(others.Connections)+int64(part.Connections) > most,
		int64(others.PresenceMembers)+int64(part.PresenceMembers) > most:
		want = occupancy.ErrCount
	case part.Occupancy == occupancy.Occupancy{}:
		delete(p.parts, r)
	default:
		if want = limited(m.fullForRemotes(room)); want == nil {
			p.parts[r] = part
			defer m.endElsewhere(p, room, ids, was.users)
		}
	}
	same(t, "Set", r.r.Set(sent), want)
	if got := r.r.Get(room); !m.closed && (got.Occupancy != p.parts[r].Occupancy || !slices.Equal(got.Users, hashes(strings.Fields(p.parts[r].users)))) {
		t.Fatalf("Remote.Get of %q returned %+v, want %+v", room, got, p.parts[r])
	}
	p.note()
}

// endElsewhere ends the leases that linger of clients that another node newly reports.
func (m *machine) endElsewhere(p *roomState, room string, now []string, before string) {
	if !m.hashed || !m.users {
		return
	}
	for _, id := range now {
		if strings.Contains(before, id) || p.members[id] == 0 {
			continue
		}
		m.lingering = slices.DeleteFunc(m.lingering, func(l *openLease) bool {
			ends := l.room == room && l.client == id
			if ends {
				m.endLease(l)
			}
			return ends
		})
	}
}

// hashUser is the hash of the links.
func hashUser(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

func hashes(ids []string) (all []uint64) {
	for _, id := range ids {
		all = append(all, hashUser(id))
	}
	slices.Sort(all)
	return all
}

func (m *machine) unremote(t *rapid.T) {
	r := pick(t, "remote", m.remotes)
	same(t, "Remote.Close", r.r.Close(), nil)
	m.ended(r)
}

// ended removes the parts of a closed remote from the reference.
func (m *machine) ended(r *remote) {
	r.closed = true
	if m.closed {
		return
	}
	for _, p := range m.rooms {
		delete(p.parts, r)
		p.note()
	}
}

// peers answers for the other nodes.
type peers struct {
	part occupancy.Occupancy
	err  error
}

func (p *peers) Get(context.Context, string) (occupancy.Occupancy, error) { return p.part, p.err }

// relink closes the link, and opens another with other peers.
func (m *machine) relink(t *rapid.T) {
	same(t, "Link.Close", m.link.Close(), nil)
	for _, r := range m.remotes {
		m.ended(r)
	}
	for _, w := range m.watchers {
		if w.local {
			w.closed = true
		}
	}
	m.openLink(t)
	m.remotes = slices.DeleteFunc(m.remotes, func(r *remote) bool { return r.closed && rapid.Bool().Draw(t, "forget") })
}

func (m *machine) openLink(t *rapid.T) {
	m.drawPeers(t)
	var p occupancy.Peers
	if m.peers != nil {
		p = m.peers
	}
	var opts []occupancy.LinkOption
	hashed := rapid.Bool().Draw(t, "hashed")
	if hashed {
		opts = append(opts, occupancy.WithUserHash(hashUser))
	}
	interest := rapid.Bool().Draw(t, "interest")
	if interest {
		opts = append(opts, occupancy.WithInterest())
	}
	if !m.closed {
		m.hashed, m.interest, m.reported = hashed, interest, map[string]map[uint64]bool{}
	}
	link, err := m.e.Link(p, opts...)
	if m.closed {
		same(t, "Link", err, occupancy.ErrClosed)
		return
	}
	same(t, "Link", err, nil)
	m.link = link
	_, err = m.e.Link(nil)
	same(t, "second Link", err, occupancy.ErrLinked)
}

func (m *machine) drawPeers(t *rapid.T) {
	if m.peers = nil; rapid.Bool().Draw(t, "none") {
		return
	}
	m.peers = &peers{part: drawPart(t)}
	if rapid.Bool().Draw(t, "fail") {
		m.peers.err = errors.New("no answer")
	}
}
