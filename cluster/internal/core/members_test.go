package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func testConfig() *Config {
	return &Config{
		ID: Incarnation{1}, Name: "node", Heartbeat: beat, Lease: lease, Hold: hold,
		MaxPeers: 10, MaxRooms: 100, MaxCount: 1000,
	}
}

// join adds peers with these names. Their incarnations begin with 10, 11, 12...
func (s *members) join(now time.Duration, names ...string) (all []*peer) {
	for _, name := range names {
		all = append(all, s.add(Incarnation{10 + byte(len(s.byID))}, name, now))
	}
	return all
}

func TestMembers_LeaseExpires(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "b")
	for now, number := beat, uint64(1); now <= lease; now, number = now+beat, number+1 {
		accepted, returned := s.heartbeat(p[1], &heartbeat{beat: number}, now)
		require.True(t, accepted)
		require.False(t, returned)
	}
	require.Empty(t, s.expire(lease-1))
	require.Equal(t, lease, s.checkAt)
	s.checkAt = Never
	require.Empty(t, s.expire(lease))
	require.Equal(t, Suspect, p[0].state)
	require.Equal(t, Live, p[1].state)
	require.Equal(t, lease+beat, s.checkAt)
	require.Equal(t, p[:1], s.expire(lease+beat))
	require.Equal(t, p[1:], s.peers)
}

func TestMembers_HeartbeatRenewsLease(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a")[0]
	s.expire(lease)
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
	s.expire(lease)
	require.Empty(t, s.expire(lease+beat))
	require.Equal(t, Held, p[0].state)
	require.Equal(t, Held, p[1].state)
	require.Equal(t, p[:2], s.expire(lease+hold))
}

func TestMembers_NewIncarnationShortensLease(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a", "a")
	s.heartbeat(p[1], &heartbeat{beat: 1}, beat)
	require.Empty(t, s.expire(beat*3/2-1))
	require.Equal(t, p[:1], s.expire(beat*3/2))
	require.False(t, p[1].replaced)
	// A delayed message of the old incarnation does not shorten the lease of the new one.
	again := s.add(p[0].id, "a", 2*beat)
	require.True(t, again.replaced)
	require.False(t, p[1].replaced)
}

func TestMembers_ByeIsRemembered(t *testing.T) {
	s := newMembers(testConfig())
	p := s.join(0, "a")[0]
	s.drop(p, true, beat)
	require.Empty(t, s.peers)
	require.True(t, s.left(p.id, beat))
	require.False(t, s.left(p.id, beat+lease))
	for i := range 50 { // at most MaxPeers
		s.remember(Incarnation{100, byte(i)}, droppedPeer{until: 2 * lease, bye: true}, beat)
	}
	require.Len(t, s.recentlyDropped, 10)
	s.remember(Incarnation{200}, droppedPeer{until: 3 * lease, bye: true}, 2*lease)
	require.Len(t, s.recentlyDropped, 1)
}
