package impl

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
)

// presence is the memory presence manager of a centrifuge node.
type presence struct {
	node    *centrifuge.Node
	manager *centrifuge.MemoryPresenceManager
}

func newPresence() presence {
	// With this interval the timers of the clients do not fire during a measurement.
	node, err := centrifuge.New(centrifuge.Config{ClientPresenceUpdateInterval: 24 * time.Hour})
	must(err)
	manager, err := centrifuge.NewMemoryPresenceManager(node, centrifuge.MemoryPresenceManagerConfig{})
	must(err)
	return presence{node, manager}
}

func newPresenceCounter() Counter { return newPresence() }

func (p presence) Join(room string, c *Conn)  { must(p.manager.AddPresence(room, c.ID, c.info)) }
func (p presence) Leave(room string, c *Conn) { must(p.manager.RemovePresence(room, c.ID, c.ID)) }

func (p presence) Count(room string) int {
	stats, err := p.manager.PresenceStats(room)
	must(err)
	return stats.NumClients
}

func (p presence) Close() { must(p.node.Shutdown(context.Background())) }

// centrifugeNode publishes each count to the clients that subscribe to the room. The
// clients are in the same process and use no network.
type centrifugeNode struct {
	presence
	delivered *atomic.Uint64
}

func newCentrifugeNode() Notifier {
	n := centrifugeNode{newPresence(), new(atomic.Uint64)}
	n.node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "subscriber"}}, nil
	})
	must(n.node.Run())
	return n
}

func (n centrifugeNode) Join(room string, c *Conn) {
	n.presence.Join(room, c)
	n.publish(room)
}

func (n centrifugeNode) Leave(room string, c *Conn) {
	n.presence.Leave(room, c)
	n.publish(room)
}

func (n centrifugeNode) publish(room string) {
	_, err := n.node.Publish(room, encodeCount(n.Count(room)))
	must(err)
}

func (n centrifugeNode) Delivered() uint64 { return n.delivered.Load() }

func (n centrifugeNode) Subscribe(room string) Subscription {
	t := &transport{events: make(chan int, 1), delivered: n.delivered}
	client, _, err := centrifuge.NewClient(context.Background(), n.node, t)
	must(err)
	must(client.ConnectNoErrorToDisconnect(centrifuge.ConnectRequest{}))
	must(client.Subscribe(room))
	return subscribeTo(t.events)
}
