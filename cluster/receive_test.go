package cluster_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

// startWithPuppet starts a node and a puppet, which the node has greeted.
func startWithPuppet(t *testing.T, opts ...cluster.Option) (*host, *puppet) {
	net := clustertest.NewNetwork(1)
	h, p := start(t, net, "node", opts...), newPuppet(t, net, "puppet")
	p.heartbeat(0, nil)
	after(beat / 4)
	return h, p
}

func TestDigest_AppliedOnceAndInOrder(t *testing.T) {
	bubble(t, "consecutive flushes", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"a": occ(1, 1), "b": occ(2, 0)})
		p.digest(1, 2, parts{"a": occ(5, 3)})
		require.Equal(t, occ(5, 3), h.Current("a"))
		require.Equal(t, occ(2, 0), h.Current("b"))
		p.digest(2, 3, parts{"a": occ(0, 0)})
		require.Equal(t, occ(0, 0), h.Current("a"))
		require.Equal(t, 1, h.node.Health().Peers[0].Rooms)
		p.heartbeat(3, parts{"b": occ(2, 0)})
		require.Empty(t, p.syncs())
	})
	bubble(t, "duplicates and delayed digests are dropped", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(1, 2, parts{"a": occ(2, 0)})
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(1, 2, parts{"a": occ(9, 0)})
		require.Equal(t, occ(2, 0), h.Current("a"))
		require.Equal(t, uint64(2), h.node.Health().Duplicates)
		require.Empty(t, p.syncs())
	})
	bubble(t, "a digest is not applied if an earlier digest is missing; a sync is requested", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(2, 3, parts{"b": occ(1, 0)})
		require.Equal(t, occ(0, 0), h.Current("b"))
		require.Equal(t, []uint64{1}, p.syncs())
		require.True(t, h.node.Health().Peers[0].Behind)
		require.True(t, h.node.Health().Degraded)
		p.digest(1, 3, parts{"a": occ(0, 0), "b": occ(1, 0)}) // the reply
		require.Equal(t, occ(0, 0), h.Current("a"))
		require.Equal(t, occ(1, 0), h.Current("b"))
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "a reply with an older base is applied", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(1, 2, parts{"b": occ(1, 0)})
		p.digest(0, 3, parts{"a": occ(1, 0), "b": occ(7, 0)})
		require.Equal(t, occ(7, 0), h.Current("b"))
		require.Empty(t, p.syncs())
	})
}

func TestSnapshot_ReplacesAllRooms(t *testing.T) {
	bubble(t, "known rooms in the snapshot remain counted", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"stays": occ(1, 0), "goes": occ(2, 0)})
		sub, err := h.Subscribe("stays")
		must(t, err)
		<-sub.Events()
		p.digest(0, 5, parts{"new": occ(3, 0)}, snapshot(9))
		require.Equal(t, occ(1, 0), h.Current("stays"))
		require.Equal(t, occ(2, 0), h.Current("goes")) // until the snapshot is complete
		require.True(t, h.node.Health().Peers[0].Behind)
		p.digest(5, 9, parts{"stays": occ(1, 0)})
		require.Equal(t, occ(0, 0), h.Current("goes"))
		require.Equal(t, occ(3, 0), h.Current("new"))
		p.heartbeat(9, parts{"stays": occ(1, 0), "new": occ(3, 0)})
		require.False(t, h.node.Health().Peers[0].Behind)
		after(time.Second)
		require.Empty(t, sub.Events()) // no event
	})
	bubble(t, "after a lost part was requested again", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"goes": occ(2, 0)})
		p.digest(0, 5, parts{"new": occ(3, 0)}, snapshot(9))
		p.digest(8, 9, parts{"last": occ(1, 0)})
		after(time.Second)
		require.Equal(t, []uint64{5}, p.syncs())
		p.digest(5, 10, parts{"last": occ(1, 0), "goes": occ(0, 0)})
		require.Equal(t, occ(0, 0), h.Current("goes"))
		p.heartbeat(10, parts{"last": occ(1, 0), "new": occ(3, 0)})
		require.Zero(t, h.node.Health().Mismatches)
	})
}

func TestHeartbeat_DetectsMissedChanges(t *testing.T) {
	bubble(t, "higher seq: sync since the last applied seq", func(t *testing.T) {
		_, p := startWithPuppet(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.heartbeat(3, nil)
		require.Equal(t, []uint64{1}, p.syncs())
	})
	bubble(t, "same seq, different hash: snapshot", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.heartbeat(1, parts{"a": occ(2, 0)})
		require.Equal(t, []uint64{0}, p.syncs())
		require.Equal(t, uint64(1), h.node.Health().Mismatches)
		p.digest(1, 2, parts{"b": occ(1, 0)}) // not applied before the snapshot
		require.Equal(t, occ(0, 0), h.Current("b"))
		p.digest(0, 2, parts{"a": occ(2, 0), "b": occ(1, 0)}, snapshot(2))
		require.Equal(t, occ(2, 0), h.Current("a"))
		p.heartbeat(2, parts{"a": occ(2, 0), "b": occ(1, 0)})
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "lower seq than a forged digest: snapshot", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1<<60, parts{"a": occ(1, 0)})
		require.Equal(t, occ(1, 0), h.Current("a"))
		p.heartbeat(1, nil)
		require.Equal(t, []uint64{0}, p.syncs())
		p.digest(0, 1, nil, snapshot(1))
		require.Equal(t, occ(0, 0), h.Current("a"))
		p.heartbeat(1, nil)
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "forged snapshot that is never complete: snapshot", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, nil, snapshot(1<<60))
		require.Empty(t, p.syncs()) // the rest of the snapshot can still arrive
		p.heartbeat(1, nil)
		after(time.Second)
		require.Equal(t, []uint64{0}, p.syncs())
		p.digest(0, 1, nil, snapshot(1))
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "later heartbeats are accepted after a forged heartbeat with a high number", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.beats = 1 << 60
		p.heartbeat(0, nil)
		p.beats = 1
		for range 10 {
			after(beat)
			p.heartbeat(0, nil)
		}
		require.Equal(t, []cluster.State{cluster.Live}, states(h))
		require.Zero(t, h.node.Health().Dropped)
	})
	bubble(t, "delayed heartbeat: ignored", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.heartbeat(1, parts{"a": occ(1, 0)})
		after(time.Second)
		p.beats = 0
		p.heartbeat(0, nil)
		require.Empty(t, p.syncs())
		require.Equal(t, time.Second, h.node.Health().Peers[0].SinceHeartbeat.Truncate(time.Millisecond))
	})
}

func TestReceive_MalformedMessage_IsCountedAndDropped(t *testing.T) {
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
		"no incarnation":                     digest(func(d *clusterpb.Digest) { d.Incarnation = nil }),
		"a short incarnation":                digest(func(d *clusterpb.Digest) { d.Incarnation = id[:15] }),
		"a long incarnation":                 digest(func(d *clusterpb.Digest) { d.Incarnation = append(slices.Clip(id), 0) }),
		"a long name":                        digest(func(d *clusterpb.Digest) { d.Name = fmt.Sprintf("%256d", 1) }),
		"base equals seq":                    digest(func(d *clusterpb.Digest) { d.Base = 2 }),
		"base after seq":                     digest(func(d *clusterpb.Digest) { d.Base = 1 << 60 }),
		"a snapshot with a base":             digest(func(d *clusterpb.Digest) { d.Reset_, d.Snapshot = true, 2 }),
		"snapshot complete before its start": digest(func(d *clusterpb.Digest) { d.Reset_, d.Base = true, 0 }),
		"a room without a name":              digest(func(d *clusterpb.Digest) { d.Rooms[0] = "" }),
		"a room with a long name":            digest(func(d *clusterpb.Digest) { d.Rooms[0] = fmt.Sprintf("%1025d", 1) }),
		"one count too many":                 digest(func(d *clusterpb.Digest) { d.Connections = append(d.Connections, 1) }),
		"counts missing":                     digest(func(d *clusterpb.Digest) { d.Members = nil }),
		"one room too many":                  digest(func(d *clusterpb.Digest) { d.Rooms = append(d.Rooms, "s") }),
		"count over the maximum":             digest(func(d *clusterpb.Digest) { d.Members[0] = 1 << 31 }),
		"newer version":                      digest(func(d *clusterpb.Digest) { d.LeastVersion = 2 }),
		"heartbeat without a number":         &clusterpb.Heartbeat{Incarnation: id, Name: "puppet", Seq: 1},
		"heartbeat without an incarnation":   &clusterpb.Heartbeat{Seq: 1, Beat: 5},
		"Bye without an incarnation":         &clusterpb.Bye{},
		"query without an incarnation":       &clusterpb.Query{Rooms: []string{"r"}},
		"query without rooms":                &clusterpb.Query{From: id},
		"query with too many rooms":          &clusterpb.Query{From: id, Rooms: slices.Repeat([]string{"r"}, 257)},
	} {
		bubble(t, name, func(t *testing.T) {
			h, p := startWithPuppet(t)
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
			p.send(cluster.Subject{Kind: kind}, m)
			require.Equal(t, uint64(1), h.node.Health().Malformed)
			require.Equal(t, occ(1, 1), h.Current("r"))
			require.Empty(t, p.syncs())
		})
	}
	bubble(t, "every truncation", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"r": occ(1, 1)})
		whole, err := proto.Marshal(digest(func(*clusterpb.Digest) {}))
		must(t, err)
		for n := range whole {
			p.sendBytes(cluster.Subject{Kind: cluster.KindDigest}, whole[:n])
			require.Equal(t, occ(1, 1), h.Current("r"), "of %d bytes", n)
		}
		require.Positive(t, h.node.Health().Malformed)
	})
	bubble(t, "known fields of another type", func(t *testing.T) {
		h, p := startWithPuppet(t)
		whole, err := proto.Marshal(digest(func(d *clusterpb.Digest) { d.Base = 0 }))
		must(t, err)
		for num := protowire.Number(1); num <= 9; num++ {
			p.sendBytes(cluster.Subject{Kind: cluster.KindDigest}, protowire.AppendFixed32(protowire.AppendTag(slices.Clone(whole), num, protowire.Fixed32Type), 1))
		}
		require.Equal(t, uint64(9), h.node.Health().Malformed)
		require.Equal(t, occ(0, 0), h.Current("r"))
	})
	bubble(t, "unknown fields are skipped", func(t *testing.T) {
		h, p := startWithPuppet(t)
		whole, err := proto.Marshal(digest(func(d *clusterpb.Digest) { d.Base = 0 }))
		must(t, err)
		whole = protowire.AppendString(protowire.AppendTag(whole, 100, protowire.BytesType), "what a later version adds")
		whole = protowire.AppendFixed32(protowire.AppendTag(whole, 101, protowire.Fixed32Type), 7)
		p.sendBytes(cluster.Subject{Kind: cluster.KindDigest}, whole)
		require.Zero(t, h.node.Health().Malformed)
		require.Equal(t, occ(9, 9), h.Current("r"))
	})
}
