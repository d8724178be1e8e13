package peer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
)

// presence is the presence manager that a centrifuge server has in memory.
type presence struct {
	node    *centrifuge.Node
	manager *centrifuge.MemoryPresenceManager
}

func newPresence() presence {
	// No client's timer is to fire while something is measured.
	node, err := centrifuge.New(centrifuge.Config{ClientPresenceUpdateInterval: 24 * time.Hour})
	must(err)
	manager, err := centrifuge.NewMemoryPresenceManager(node, centrifuge.MemoryPresenceManagerConfig{})
	must(err)
	return presence{node, manager}
}

func newCentrifuge() Peer { return newPresence() }

func (p presence) Join(room string, c *Conn)  { must(p.manager.AddPresence(room, c.ID, c.info)) }
func (p presence) Leave(room string, c *Conn) { must(p.manager.RemovePresence(room, c.ID, c.ID)) }

func (p presence) Count(room string) int {
	stats, err := p.manager.PresenceStats(room)
	must(err)
	return stats.NumClients
}

func (p presence) Close() { must(p.node.Shutdown(context.Background())) }

// telling is a centrifuge node that publishes each count to the clients that subscribe
// to the room, which are attached without a network.
type telling struct {
	presence
	told *atomic.Uint64
}

func newCentrifugeNode() Teller {
	t := telling{newPresence(), new(atomic.Uint64)}
	t.node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "subscriber"}}, nil
	})
	must(t.node.Run())
	return t
}

func (t telling) Join(room string, c *Conn) {
	t.presence.Join(room, c)
	t.publish(room)
}

func (t telling) Leave(room string, c *Conn) {
	t.presence.Leave(room, c)
	t.publish(room)
}

func (t telling) publish(room string) {
	_, err := t.node.Publish(room, encode(t.Count(room)))
	must(err)
}

func (t telling) Told() uint64 { return t.told.Load() }

func (t telling) Subscribe(room string) Subscription {
	w := &wire{events: make(chan int, 1), told: t.told}
	client, _, err := centrifuge.NewClient(context.Background(), t.node, w)
	must(err)
	must(client.ConnectNoErrorToDisconnect(centrifuge.ConnectRequest{}))
	must(client.Subscribe(room))
	return feed[int]{w.events, itself}
}
