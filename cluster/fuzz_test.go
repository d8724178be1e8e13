package cluster_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

// FuzzReceive publishes arbitrary messages. Some of them have the identity of a peer. The
// node must not panic, its memory is bounded, and it recovers afterwards.
func FuzzReceive(f *testing.F) {
	id := []byte("puppet0123456789")
	add := func(kinds []cluster.Kind, messages ...proto.Message) {
		var data []byte
		for i, m := range messages {
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			data = append(data, byte(kinds[i]))
			data = append(binary.BigEndian.AppendUint16(data, uint16(len(b))), b...)
		}
		f.Add(data)
	}
	digest := func(base, seq uint64, room string, n uint32) *clusterpb.Digest {
		return &clusterpb.Digest{
			Incarnation: id, Name: "puppet", Base: base, Seq: seq,
			Rooms: []string{room}, Connections: []uint32{n}, Members: []uint32{n},
		}
	}
	D, H, B := cluster.KindDigest, cluster.KindHeartbeat, cluster.KindBye
	add([]cluster.Kind{D, D}, digest(0, 1<<60, "a", 5), digest(1<<60, 1<<61, "b", 1<<31-1))
	add([]cluster.Kind{H, B}, &clusterpb.Heartbeat{Incarnation: id, Seq: 1 << 60, Beat: 1 << 60}, &clusterpb.Bye{Incarnation: id})
	endless := digest(0, 9, "c", 5)
	endless.Reset_, endless.Snapshot = true, 1<<62
	add([]cluster.Kind{D, D}, endless, endless)
	ghost := digest(0, 9, "c", 5)
	ghost.Incarnation = []byte("ghost...........")
	add([]cluster.Kind{D, H}, ghost, &clusterpb.Heartbeat{Incarnation: ghost.Incarnation, Name: "puppet", Seq: 9, Beat: 1})
	add([]cluster.Kind{cluster.KindSyncRequest, cluster.KindQuery}, &clusterpb.SyncRequest{From: id, To: id}, &clusterpb.Query{From: id, Rooms: []string{"a"}})

	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { receives(t, data) })
	})
}

func receives(t *testing.T, data []byte) {
	net := clustertest.NewNetwork(1)
	h := start(t, net, "node", cluster.WithMaxPeers(5), cluster.WithMaxRooms(20), cluster.WithMaxCount(1000), cluster.WithForget(beat))
	h.join(t, "a", 1)
	p := newPuppet(t, net, "puppet")
	truth := parts{"a": occ(2, 3), "b": occ(1, 0)}
	p.heartbeat(0, nil)
	p.digest(0, 1, truth)
	p.heartbeat(1, truth)

	hostile := net.Bus("hostile")
	for n := 0; len(data) >= 3 && n < 100; n++ {
		kind, length := cluster.Kind(data[0]%8), min(int(binary.BigEndian.Uint16(data[1:])), len(data)-3)
		to := cluster.Subject{Kind: kind}
		if kind >= cluster.KindAnswer {
			to.Shard = cluster.Shard(h.node)
		}
		must(t, hostile.Publish(t.Context(), to, data[3:3+length]))
		data = data[3+length:]
		if n%5 == 0 {
			after(300 * time.Millisecond)
		}
	}
	synctest.Wait()
	health := h.node.Health()
	require.LessOrEqual(t, len(health.Peers), 5)
	for _, peer := range health.Peers {
		require.LessOrEqual(t, peer.Rooms, 2*20)
	}
	require.LessOrEqual(t, h.Current("a").Connections, 1+5*1000)
	require.Equal(t, occ(1, 0), h.Local("a"))

	for range (lease + hold) / beat * 2 {
		p.heartbeat(1, truth)
		if len(p.syncs()) > 0 {
			p.digest(0, 1, truth, snapshot(1))
		}
		after(beat)
	}
	require.Equal(t, occ(3, 3), h.Current("a"))
	require.Equal(t, occ(1, 0), h.Current("b"))
	require.Equal(t, 2, h.Stats().Rooms)
	require.False(t, h.node.Health().Degraded, "%+v", h.node.Health())
}

func TestReceive_RandomBytes_RecoversAfterwards(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		data := make([]byte, r.IntN(2000))
		for i := range data {
			data[i] = byte(r.Uint32())
			if r.IntN(3) > 0 {
				data[i] %= 16
			}
		}
		synctest.Test(t, func(t *testing.T) { receives(t, data) })
	}
}
