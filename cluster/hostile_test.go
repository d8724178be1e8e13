package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

func TestHostile_WhatIsNoMessageIsCountedAndDropped(t *testing.T) {
	id := []byte("puppet0123456789")
	digest := func(change func(*clusterpb.Digest)) proto.Message {
		d := &clusterpb.Digest{
			Incarnation: id, Name: "puppet", Base: 1, Seq: 2,
			Rooms: []string{"r"}, Connections: []uint32{9}, Members: []uint32{9},
		}
		change(d)
		return d
	}
	for name, m := range map[string]proto.Message{
		"no incarnation":          digest(func(d *clusterpb.Digest) { d.Incarnation = nil }),
		"a short incarnation":     digest(func(d *clusterpb.Digest) { d.Incarnation = id[:15] }),
		"a long incarnation":      digest(func(d *clusterpb.Digest) { d.Incarnation = append(slices.Clip(id), 0) }),
		"a long name":             digest(func(d *clusterpb.Digest) { d.Name = fmt.Sprintf("%256d", 1) }),
		"base is seq":             digest(func(d *clusterpb.Digest) { d.Base = 2 }),
		"base is beyond seq":      digest(func(d *clusterpb.Digest) { d.Base = 1 << 60 }),
		"a snapshot with a base":  digest(func(d *clusterpb.Digest) { d.Reset_, d.Snapshot = true, 2 }),
		"a snapshot of the past":  digest(func(d *clusterpb.Digest) { d.Reset_, d.Base = true, 0 }),
		"a room without a name":   digest(func(d *clusterpb.Digest) { d.Rooms[0] = "" }),
		"a room with a long name": digest(func(d *clusterpb.Digest) { d.Rooms[0] = fmt.Sprintf("%1025d", 1) }),
		"a count too many":        digest(func(d *clusterpb.Digest) { d.Connections = append(d.Connections, 1) }),
		"a count too few":         digest(func(d *clusterpb.Digest) { d.Members = nil }),
		"a room too many":         digest(func(d *clusterpb.Digest) { d.Rooms = append(d.Rooms, "s") }),
		"a count that cannot be":  digest(func(d *clusterpb.Digest) { d.Members[0] = 1 << 31 }),
		"a newer version":         digest(func(d *clusterpb.Digest) { d.LeastVersion = 2 }),
		"a beat that never was":   &clusterpb.Heartbeat{Incarnation: id, Name: "puppet", Seq: 1},
		"a beat of nobody":        &clusterpb.Heartbeat{Seq: 1, Beat: 5},
		"a beat of the future":    &clusterpb.Heartbeat{Incarnation: id, Beat: 5, LeastVersion: 2},
		"a Bye of nobody":         &clusterpb.Bye{},
		"a question of nobody":    &clusterpb.Query{Rooms: []string{"r"}},
		"a question for nothing":  &clusterpb.Query{From: id},
		"too many questions":      &clusterpb.Query{From: id, Rooms: slices.Repeat([]string{"r"}, 17)},
	} {
		bubble(t, name, func(t *testing.T) {
			h, p := watched(t)
			p.digest(0, 1, parts{"r": occ(1, 1)})
			kind := cluster.KindDigest
			switch m.(type) {
			case *clusterpb.Heartbeat:
				kind = cluster.KindHeartbeat
			case *clusterpb.Bye:
				kind = cluster.KindBye
			case *clusterpb.Query:
				kind = cluster.KindQuery
			}
			p.say(cluster.Subject{Kind: kind}, m)
			require.Equal(t, uint64(1), h.node.Health().Malformed)
			require.Equal(t, occ(1, 1), h.Current("r"))
			require.Empty(t, p.syncs())
		})
	}
	bubble(t, "every truncation", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"r": occ(1, 1)})
		whole, err := proto.Marshal(digest(func(*clusterpb.Digest) {}))
		must(t, err)
		for n := range whole {
			p.sayBytes(cluster.Subject{Kind: cluster.KindDigest}, whole[:n])
			require.Equal(t, occ(1, 1), h.Current("r"), "of %d bytes", n)
		}
		require.Positive(t, h.node.Health().Malformed)
	})
	bubble(t, "known numbers of another type", func(t *testing.T) {
		h, p := watched(t)
		whole, err := proto.Marshal(digest(func(d *clusterpb.Digest) { d.Base = 0 }))
		must(t, err)
		for num := protowire.Number(1); num <= 9; num++ {
			p.sayBytes(cluster.Subject{Kind: cluster.KindDigest}, protowire.AppendFixed32(protowire.AppendTag(slices.Clone(whole), num, protowire.Fixed32Type), 1))
		}
		require.Equal(t, uint64(9), h.node.Health().Malformed)
		require.Equal(t, occ(0, 0), h.Current("r"))
	})
	bubble(t, "but fields that are not known are skipped", func(t *testing.T) {
		h, p := watched(t)
		whole, err := proto.Marshal(digest(func(d *clusterpb.Digest) { d.Base = 0 }))
		must(t, err)
		whole = protowire.AppendString(protowire.AppendTag(whole, 100, protowire.BytesType), "what a later version adds")
		whole = protowire.AppendFixed32(protowire.AppendTag(whole, 101, protowire.Fixed32Type), 7)
		p.sayBytes(cluster.Subject{Kind: cluster.KindDigest}, whole)
		require.Zero(t, h.node.Health().Malformed)
		require.Equal(t, occ(9, 9), h.Current("r"))
	})
}

func TestHostile_GetIsBoundedAsCurrentIs(t *testing.T) {
	const most = 1000
	// get is what Get returns when the peer's answer is so many connections, 0 being none.
	get := func(t *testing.T, h *host, p *puppet, answer uint32) (o occupancy.Occupancy, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			o, err = h.Get(t.Context(), "r")
		}()
		q := heard[clusterpb.Query](p, cluster.KindQuery)
		require.Len(t, q, 1)
		if answer > 0 {
			p.say(cluster.Subject{Kind: cluster.KindAnswer, Shard: shard(q[0].From)}, &clusterpb.Answer{
				From: p.id, To: q[0].From, Id: q[0].Id, Connections: []uint32{answer}, Members: []uint32{0},
			})
		}
		<-done
		return o, err
	}
	bubble(t, "in what is answered", func(t *testing.T) {
		h, p := watched(t, cluster.WithMaxCount(most))
		p.digest(0, 1, parts{"r": occ(3, 0)})
		after(2 * beat)
		o, err := get(t, h, p, most)
		must(t, err)
		require.Equal(t, occ(most, 0), o)
		o, err = get(t, h, p, most+1)
		require.EqualError(t, err, "cluster: counts of "+p.name+" are missing: the answer exceeds WithMaxCount")
		require.Equal(t, occ(3, 0), o)
	})
	bubble(t, "in what was last heard", func(t *testing.T) {
		h, p := watched(t, cluster.WithMaxCount(most))
		p.digest(0, 1, parts{"r": occ(most+1, 0)})
		require.Equal(t, occ(0, 0), h.Current("r"))
		o, err := get(t, h, p, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, occ(0, 0), o)
	})
}

func TestHostile_WhatAPeerClaimsIsBounded(t *testing.T) {
	peer := func(h *host, name string) cluster.PeerHealth {
		peers := h.node.Health().Peers
		return peers[slices.IndexFunc(peers, func(p cluster.PeerHealth) bool { return p.Name == name })]
	}
	bubble(t, "in names", func(t *testing.T) {
		h, p := watched(t, cluster.WithMaxRooms(100))
		many := parts{}
		for i := range 500 {
			many[room(i)] = occ(1, 0)
		}
		p.digest(0, 1, many)
		require.Equal(t, 100, h.Stats().Rooms)
		require.Equal(t, 100, peer(h, p.name).Rooms)
		require.True(t, peer(h, p.name).Over)
		require.True(t, h.node.Health().Degraded)
		asked := 0
		for range 60 {
			after(time.Second)
			p.heartbeat(1, many)
			if len(p.syncs()) > 0 {
				asked++
				p.digest(0, 1, many, snapshot(1))
			}
		}
		require.InDelta(t, 4, asked, 1) // once in a hold
		require.Equal(t, 100, h.Stats().Rooms)
		p.digest(0, 2, parts{"r": occ(1, 0)}, snapshot(2))
		p.heartbeat(2, parts{"r": occ(1, 0)})
		require.False(t, peer(h, p.name).Over)
		require.Equal(t, 1, h.Stats().Rooms)
	})
	bubble(t, "in counts", func(t *testing.T) {
		h, p := watched(t, cluster.WithMaxCount(1000))
		p.digest(0, 1, parts{"r": occ(1000, 7), "s": occ(1001, 0)})
		require.Equal(t, occ(1000, 7), h.Current("r"))
		require.Equal(t, occ(0, 0), h.Current("s"))
		require.Equal(t, 1, peer(h, p.name).Refused)
		require.True(t, h.node.Health().Degraded)
		p.digest(1, 2, parts{"r": occ(0, 1001)})
		require.Equal(t, occ(1000, 7), h.Current("r")) // as it was
		require.Equal(t, 2, peer(h, p.name).Refused)
		p.heartbeat(2, parts{"r": occ(0, 1001), "s": occ(1001, 0)})
		require.Empty(t, p.syncs()) // it is known what the peer has
		p.digest(2, 3, parts{"r": occ(1, 1), "s": occ(0, 0)})
		require.Equal(t, occ(1, 1), h.Current("r"))
		require.Zero(t, peer(h, p.name).Refused)
		require.Equal(t, 1, h.Stats().Rooms)
	})
	bubble(t, "by the engine's room limit, and refused rooms are retried", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := &host{occupancy.New(occupancy.WithMaxRooms(2)), net.Bus("node"), nil}
		var err error
		h.node, err = cluster.Start(t.Context(), h.Engine, h.bus)
		must(t, err)
		t.Cleanup(h.crash)
		h.join(t, "own", 1) // does not count against the limit of the peers' rooms
		first, second := newPuppet(t, net, "first"), newPuppet(t, net, "second")
		first.digest(0, 1, parts{"r": occ(1, 0), "s": occ(1, 0)})
		theirs := parts{"r": occ(2, 0), "t": occ(4, 0), "u": occ(8, 0)}
		second.digest(0, 1, theirs)
		second.heartbeat(1, theirs)
		after(beat)
		require.Equal(t, 2, h.node.Health().Peers[1].Refused)
		require.Equal(t, 3, h.node.Health().Peers[1].Rooms)
		require.Equal(t, occ(3, 0), h.Current("r"))
		require.Equal(t, occ(0, 0), h.Current("t"))
		require.True(t, h.node.Health().Degraded)
		require.Empty(t, second.syncs()) // refused rooms are part of the hash
		first.digest(1, 2, parts{"s": occ(0, 0)})
		after(beat) // one of them fits
		require.Equal(t, 1, peer(h, "second").Refused)
		first.bye()
		second.digest(1, 2, parts{"r": occ(0, 0)})
		second.heartbeat(2, parts{"t": occ(4, 0), "u": occ(8, 0)})
		after(beat)
		require.Zero(t, peer(h, "second").Refused)
		require.Equal(t, occ(4, 0), h.Current("t"))
		require.Equal(t, occ(8, 0), h.Current("u"))
		require.Empty(t, second.syncs())
		require.False(t, h.node.Health().Degraded)
	})
	bubble(t, "in a snapshot as well", func(t *testing.T) {
		h, p := watched(t, cluster.WithMaxCount(1000))
		p.digest(0, 1, parts{"r": occ(7, 0), "refused": occ(1001, 0), "kept": occ(1001, 0)})
		p.digest(0, 2, parts{"kept": occ(1001, 0)}, snapshot(3))
		require.Equal(t, 2, peer(h, p.name).Refused)
		p.digest(2, 3, parts{"new": occ(1, 0)})
		require.Equal(t, 1, peer(h, p.name).Refused)
		require.Equal(t, 2, peer(h, p.name).Rooms)
		require.Equal(t, occ(0, 0), h.Current("r"))
		p.heartbeat(3, parts{"kept": occ(1001, 0), "new": occ(1, 0)})
		require.Empty(t, p.syncs())
	})
	bubble(t, "in number", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := start(t, net, "node", cluster.WithMaxPeers(10))
		for i := range 50 {
			p := newPuppet(t, net, fmt.Sprint(i, "th"))
			p.digest(0, 1, parts{"r": occ(1, 0)})
		}
		require.Len(t, h.node.Health().Peers, 10)
		require.Equal(t, uint64(40), h.node.Health().TooMany)
		require.Equal(t, occ(10, 0), h.Current("r"))
		require.True(t, h.node.Health().Degraded)
		after(lease + hold + beat)
		require.Empty(t, h.node.Health().Peers)
		require.False(t, h.node.Health().Degraded)
	})
	bubble(t, "in who said Bye", func(t *testing.T) {
		h, p := watched(t, cluster.WithMaxPeers(10))
		for i := range 50 {
			p.id = fmt.Appendf(nil, "%016d", i)
			p.bye()
		}
		require.Equal(t, 10, cluster.Departed(h.node))
		after(lease)
		p.bye()
		require.Equal(t, 1, cluster.Departed(h.node))
	})
}
