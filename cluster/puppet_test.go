package cluster_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

// puppet is a peer that sends the messages of a test. It encodes them with the generated
// code.
type puppet struct {
	*testing.T
	net   *clustertest.Network
	bus   *clustertest.Bus
	id    []byte
	name  string
	beats uint64
	inbox chan cluster.Message
}

func newPuppet(t *testing.T, net *clustertest.Network, name string) *puppet {
	t.Helper()
	p := &puppet{t, net, net.Bus("puppet " + name), []byte(name + "0123456789abcdef")[:16], name, 0, make(chan cluster.Message, 1000)}
	_, err := p.bus.Subscribe(t.Context(), []cluster.Subject{
		{Kind: cluster.KindDigest}, {Kind: cluster.KindHeartbeat}, {Kind: cluster.KindBye}, {Kind: cluster.KindQuery},
		{Kind: cluster.KindAnswer, Shard: shard(p.id)},
		{Kind: cluster.KindSyncRequest, Shard: shard(p.id)},
		{Kind: cluster.KindSyncReply, Shard: shard(p.id)},
	}, p.inbox)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.bus.Close(context.Background()) })
	return p
}

func shard(id []byte) uint32 {
	return uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3])
}

// parts are the rooms of a digest.
type parts map[string]occupancy.Occupancy

// digest publishes a digest. The functions can change the digest before it is published.
func (p *puppet) digest(base, seq uint64, rooms parts, more ...func(*clusterpb.Digest)) {
	p.Helper()
	d := &clusterpb.Digest{Incarnation: p.id, Name: p.name, Base: base, Seq: seq}
	for room, o := range rooms {
		d.Rooms = append(d.Rooms, room)
		d.Connections = append(d.Connections, uint32(o.Connections))
		d.Members = append(d.Members, uint32(o.PresenceMembers))
	}
	for _, f := range more {
		f(d)
	}
	p.send(cluster.Subject{Kind: cluster.KindDigest}, d)
}

// snapshot changes a digest to the first digest of a snapshot.
func snapshot(seq uint64) func(*clusterpb.Digest) {
	return func(d *clusterpb.Digest) { d.Reset_, d.Snapshot = true, seq }
}

// heartbeat publishes a heartbeat with the hash of the rooms.
func (p *puppet) heartbeat(seq uint64, rooms parts) {
	p.Helper()
	p.beats++
	p.send(cluster.Subject{Kind: cluster.KindHeartbeat}, &clusterpb.Heartbeat{
		Incarnation: p.id, Name: p.name, Seq: seq, Hash: hash(rooms), Beat: p.beats, Rooms: uint64(len(rooms)),
	})
}

func (p *puppet) bye() {
	p.Helper()
	p.send(cluster.Subject{Kind: cluster.KindBye}, &clusterpb.Bye{Incarnation: p.id})
}

// send publishes a message and waits until the node has handled it.
func (p *puppet) send(to cluster.Subject, m proto.Message) {
	p.Helper()
	payload, err := proto.Marshal(m)
	require.NoError(p, err)
	p.sendBytes(to, payload)
}

func (p *puppet) sendBytes(to cluster.Subject, payload []byte) {
	p.Helper()
	require.NoError(p, p.bus.Publish(context.Background(), to, payload))
	synctest.Wait()
}

// received returns the messages of one kind that arrived since the last call. It drops the
// messages of all other kinds.
func received[M any, P interface {
	*M
	proto.Message
}](p *puppet, kind cluster.Kind) (all []P) {
	p.Helper()
	synctest.Wait()
	for len(p.inbox) > 0 {
		if m := <-p.inbox; m.Subject.Kind == kind {
			var v P = new(M)
			require.NoError(p, proto.Unmarshal(m.Payload, v))
			all = append(all, v)
		}
	}
	return all
}

// syncs returns the seqs of the received sync requests.
func (p *puppet) syncs() (since []uint64) {
	p.Helper()
	for _, r := range received[clusterpb.SyncRequest](p, cluster.KindSyncRequest) {
		if bytes.Equal(r.To, p.id) { // another node can have the same shard
			since = append(since, r.Since)
		}
	}
	return since
}
