package core

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func testConfig() *Config {
	return &Config{
		ID: Incarnation{1}, Name: "node", Heartbeat: beat, Lease: lease, Hold: hold, Forget: forget,
		MaxPeers: 10, MaxRooms: 100, MaxCount: 1000, Yield: func() {},
	}
}

// join adds peers with these names. Their incarnations begin with 10, 11, 12...
func (s *members) join(now time.Duration, names ...string) (all []*peer) {
	for _, name := range names {
		p, _ := s.add(Incarnation{10 + byte(len(s.byID))}, name, now)
		all = append(all, p)
	}
	return all
}

// expire calls s.expire and describes its results.
func expire(s *members, now time.Duration) string {
	var all []string
	lost, dropped := s.expire(now)
	for _, p := range lost {
		all = append(all, "lost "+p.name)
	}
	for _, p := range dropped {
		all = append(all, "dropped "+p.name)
	}
	return strings.Join(all, ", ")
}

func TestMembers_LeaseExpires(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "b")
	for now, number := beat, uint64(1); now <= lease; now, number = now+beat, number+1 {
		accepted, returned := s.heartbeat(p[1], &heartbeat{beat: number}, now)
		require.True(t, accepted)
		require.False(t, returned)
	}
	require.Empty(t, expire(&s, lease-1))
	require.Equal(t, lease, s.checkAt)
	s.checkAt = Never
	require.Empty(t, expire(&s, lease))
	require.Equal(t, Suspect, p[0].state)
	require.Equal(t, Live, p[1].state)
	require.Equal(t, lease+beat, s.checkAt)
	s.checkAt = Never
	require.Equal(t, "lost a", expire(&s, lease+beat))
	require.Equal(t, Missing, p[0].state)
	require.Equal(t, 2*lease, s.checkAt) // of b
	require.Equal(t, 2, s.known())
	s.heartbeat(p[1], &heartbeat{beat: 100}, lease+beat+forget)
	require.Equal(t, "dropped a", expire(&s, lease+beat+forget))
	require.Equal(t, p[1:], s.peers)
}

func TestMembers_HeartbeatRenewsLease(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a")[0]
	expire(&s, lease)
	require.Equal(t, Suspect, p.state)
	accepted, returned := s.heartbeat(p, &heartbeat{beat: 7}, lease)
	require.True(t, accepted)
	require.True(t, returned)
	require.Equal(t, Live, p.state)
	for i, c := range []struct {
		number   uint64
		accepted bool
	}{
		{7, false}, // a duplicate
		{8, true},
		{5, false}, // delayed
		{4, false}, // delayed more
		{5, true},  // heartbeat 8 was forged
	} {
		accepted, _ := s.heartbeat(p, &heartbeat{beat: c.number}, lease+time.Duration(i))
		require.Equal(t, c.accepted, accepted, "number %d", i)
	}
}

func TestMembers_MassLossHoldsPeers(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "b", "c")
	s.heartbeat(p[2], &heartbeat{beat: 1}, beat)
	expire(&s, lease)
	require.Empty(t, expire(&s, lease+beat))
	require.Equal(t, Held, p[0].state)
	require.Equal(t, Held, p[1].state)
	require.Equal(t, "lost a, lost b", expire(&s, lease+hold))
}

func TestMembers_MassLossOfTwoPeers(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "b")
	expire(&s, lease)
	require.Empty(t, expire(&s, lease+beat))
	require.Equal(t, Held, p[0].state)
	s.join(lease+beat, "c") // a peer that is lost alone is not held
	require.Equal(t, "lost a, lost b", expire(&s, lease+hold))
	expire(&s, 2*lease+hold)
	require.Equal(t, "lost c", expire(&s, 3*lease+hold))
}

func TestMembers_ReturnedPeerHasLease(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a")[0]
	expire(&s, lease)
	s.checkAt = Never
	require.Equal(t, "lost a", expire(&s, lease+beat))
	require.Equal(t, lease+beat+forget, s.checkAt)
	s.heartbeat(p, &heartbeat{beat: 1}, 2*lease)
	require.Equal(t, 3*lease, s.checkAt) // before it would have been forgotten
}

// A Missing peer that returns as the previous incarnation of a new one must not lengthen
// the lease of another one.
func TestMembers_TwoPreviousIncarnations(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "a")
	p[0].replaced = false
	p[0].state, p[1].leaseStart = Missing, lease
	_, dropped := s.add(Incarnation{99}, "a", lease)
	require.Equal(t, p[:1], dropped)
	require.True(t, p[1].replaced)
}

func TestMembers_NewIncarnationReplacesMissingPeer(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a")
	expire(&s, lease)
	require.Equal(t, "lost a", expire(&s, lease+beat))
	require.Equal(t, p[0], s.longestMissing())
	_, dropped := s.add(Incarnation{99}, "a", 2*lease)
	require.Equal(t, p, dropped)
	require.Nil(t, s.longestMissing())
	require.Len(t, s.peers, 1)
}

func TestMembers_NewIncarnationShortensLease(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "a")
	s.heartbeat(p[1], &heartbeat{beat: 1}, beat)
	require.Empty(t, expire(&s, beat*3/2-1))
	require.Equal(t, "dropped a", expire(&s, beat*3/2))
	require.False(t, p[1].replaced)
	// A delayed message of the old incarnation does not shorten the lease of the new one.
	again, _ := s.add(p[0].id, "a", 2*beat)
	require.True(t, again.replaced)
	require.False(t, p[1].replaced)
}

// A late heartbeat of the previous incarnation can be the first one that a node receives from
// it, after those of the new incarnation. The previous incarnation must not become Missing.
func TestMembers_LateHeartbeatOfPreviousIncarnation(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "a", "b")
	s.heartbeat(p[1], &heartbeat{beat: 9}, 0)
	for number := range uint64(6) {
		now := time.Duration(number) * beat
		s.heartbeat(p[0], &heartbeat{beat: number + 1}, now)
		s.heartbeat(p[2], &heartbeat{beat: number + 1}, now)
	}
	require.Equal(t, "dropped a", expire(&s, lease))
	require.False(t, p[0].replaced)
	require.Equal(t, []*peer{p[0], p[2]}, s.peers)
}

func TestMembers_ByeIsRemembered(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a")[0]
	s.drop(p, true, beat)
	require.Empty(t, s.peers)
	require.True(t, s.left(p.id, beat))
	require.True(t, s.left(p.id, beat+forget-1))
	require.False(t, s.left(p.id, beat+forget))
	for i := range 50 { // at most MaxPeers
		s.remember(Incarnation{100, byte(i)}, droppedPeer{until: lease + time.Duration(i), bye: true})
	}
	require.Len(t, s.recentlyDropped, 10)
	require.False(t, s.left(Incarnation{100, 40}, beat)) // the oldest ones are forgotten
	require.True(t, s.left(Incarnation{100, 41}, beat))
}
