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

// puppet is a node that says what the test has it say, in the generated code's coding.
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

// parts are rooms in a digest.
type parts map[string]occupancy.Occupancy

// digest publishes one; more changes it before.
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
	p.say(cluster.Subject{Kind: cluster.KindDigest}, d)
}

// snapshot makes a digest the beginning of one.
func snapshot(seq uint64) func(*clusterpb.Digest) {
	return func(d *clusterpb.Digest) { d.Reset_, d.Snapshot = true, seq }
}

// heartbeat publishes one with the true hash of the rooms.
func (p *puppet) heartbeat(seq uint64, rooms parts) {
	p.Helper()
	p.beats++
	p.say(cluster.Subject{Kind: cluster.KindHeartbeat}, &clusterpb.Heartbeat{
		Incarnation: p.id, Name: p.name, Seq: seq, Hash: cluster.Hash(rooms), Beat: p.beats,
	})
}

func (p *puppet) bye() {
	p.Helper()
	p.say(cluster.Subject{Kind: cluster.KindBye}, &clusterpb.Bye{Incarnation: p.id})
}

// say publishes a message, and waits until all is done.
func (p *puppet) say(to cluster.Subject, m proto.Message) {
	p.Helper()
	payload, err := proto.Marshal(m)
	require.NoError(p, err)
	p.sayBytes(to, payload)
}

func (p *puppet) sayBytes(to cluster.Subject, payload []byte) {
	p.Helper()
	require.NoError(p, p.bus.Publish(context.Background(), to, payload))
	synctest.Wait()
}

// heard is what came of one kind since it was asked last; what else came is thrown away.
func heard[M any, P interface {
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

// syncs is since when it was asked for syncs.
func (p *puppet) syncs() (since []uint64) {
	p.Helper()
	for _, r := range heard[clusterpb.SyncRequest](p, cluster.KindSyncRequest) {
		if bytes.Equal(r.To, p.id) { // shards may be the same
			since = append(since, r.Since)
		}
	}
	return since
}
