package fuzz

import (
	"context"
	"errors"
	"maps"
	"math"
	"time"

	"github.com/occupancy/occupancy"
)

// checkCounts checks every way to read the counts.
func (m *model) checkCounts(totals, locals map[string]occupancy.Occupancy) {
	all := map[string]occupancy.Occupancy{}
	for name, o := range m.e.All() {
		if _, again := all[name]; again {
			m.failf("All yields %q twice", name)
		}
		all[name] = o
	}
	want := maps.Clone(totals)
	maps.DeleteFunc(want, func(_ string, o occupancy.Occupancy) bool { return o == occupancy.Occupancy{} })
	if !maps.Equal(all, want) {
		m.failf("All has %v, want %v", all, want)
	}
	for _, name := range fuzzRooms {
		h := m.handles[name]
		if got, want := m.e.Current(name), totals[name]; got != want || h.Current() != want {
			m.failf("Current(%.5q) is %v, by handle %v, want %v", name, got, h.Current(), want)
		}
		if got, want := m.e.Local(name), locals[name]; got != want || h.Local() != want {
			m.failf("Local(%.5q) is %v, by handle %v, want %v", name, got, h.Local(), want)
		}
		m.checkGet(name, totals[name], locals[name])
	}
}

func (m *model) checkGet(name string, want, local occupancy.Occupancy) {
	bad := m.refuse(name)
	if bad != nil {
		want = occupancy.Occupancy{}
	}
	if bad == nil && m.peers != nil {
		if want, bad = capped(add(local, m.peers.answer)), m.peers.err; m.peers.answer.Connections < 0 {
			want, bad = local, occupancy.ErrCount
		}
	}
	for _, get := range []func(context.Context) (occupancy.Occupancy, error){
		m.handles[name].Get,
		func(ctx context.Context) (occupancy.Occupancy, error) { return m.e.Get(ctx, name) },
	} {
		if got, err := get(m.t.Context()); got != want || !errors.Is(err, bad) || err != nil && bad == nil {
			m.failf("Get(%.5q) returned %v, %v; want %v, %v", name, got, err, want, bad)
		}
	}
}

// addTotals adds the occupancy of a room to the total of others. A total is capped only where
// an int has 32 bits.
func addTotals(a, b occupancy.Occupancy) occupancy.Occupancy {
	sum := func(a, b int) int { return int(min(int64(a)+int64(b), math.MaxInt)) }
	return occupancy.Occupancy{
		Connections:     sum(a.Connections, b.Connections),
		PresenceMembers: sum(a.PresenceMembers, b.PresenceMembers),
		Users:           sum(a.Users, b.Users),
	}
}

func (m *model) checkStats() {
	got := m.e.Stats()
	subs, watchers, unread := 0, 0, 0
	for _, s := range m.subs {
		if s != nil && !s.closed {
			unread += len(s.sub.Events())
			if !m.closed {
				subs++
			}
		}
	}
	for _, w := range m.watchers {
		if w != nil && !w.closed && w.w != nil {
			watchers++
		}
	}
	if got.Rooms != len(m.exist()) || got.Subscriptions != subs || got.Watchers != watchers || got.Lingering != len(m.queue) {
		m.failf("%+v, want the rooms %v, %d subscriptions, %d watchers and %d lingering leases", got, m.exist(), subs, watchers, len(m.queue))
	}
	if want := m.read + m.discarded + uint64(unread) + got.Folded; got.Delivered != want {
		m.failf("%+v: %d events were read, %d discarded and %d are unread", got, m.read, m.discarded, unread)
	}
}

// quiet waits until everything is published, and checks what must be exact then.
func (m *model) quiet() {
	m.note(nil, nil, "quiet")
	m.sleep(2*m.interval + 1)
	if m.closed {
		return
	}
	for _, s := range m.subs {
		if s != nil && !s.eager && !s.closed {
			m.readSub(s)
		}
	}
	for _, w := range m.watchers {
		if w != nil && w.kind&4 == 0 && !w.closed {
			m.drain(w)
		}
	}
	m.sleep(time.Second) // the totals of rooms without listeners lag by that much at most
	var sum, localSum occupancy.Occupancy
	totals, locals := m.totals()
	for name, o := range totals {
		sum, localSum = addTotals(sum, o), addTotals(localSum, locals[name])
	}
	if got := m.e.Stats(); got.Total != sum || got.Local != localSum || got.Arrivals-got.Departures != uint64(localSum.Connections) {
		m.failf("%+v, want %v in all rooms and %v of this process", got, sum, localSum)
	}
}
