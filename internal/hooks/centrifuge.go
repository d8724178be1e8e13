package hooks

import (
	"context"
	"strings"
	"sync"

	"github.com/centrifugal/centrifuge"

	"github.com/occupancy/occupancy"
)

// newCentrifuge returns a node that counts the subscriptions of its clients. The node
// subscribes each client to one channel when the client connects: "user:" and the user ID.
func newCentrifuge(engine *occupancy.Engine, config centrifuge.Config) (*centrifuge.Node, error) {
	node, err := centrifuge.New(config)
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		user, _ := centrifuge.GetCredentials(ctx)
		return centrifuge.ConnectReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"user:" + user.UserID: {}}}, nil
	})

	// begin: centrifuge
	node.OnConnect(func(client *centrifuge.Client) {
		leases := &channelLeases{engine: engine, client: client} // add this line
		leases.updateAll()                                       // add this line: counts the subscriptions in the ConnectReply
		client.OnAlive(leases.updateAll)                         // add this line: counts the subscriptions made by node.Subscribe
		client.OnDisconnect(func(centrifuge.DisconnectEvent) {
			leases.close() // add this line
		})
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			if !maySubscribe(client.UserID(), e.Channel) {
				reply(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			reply(centrifuge.SubscribeReply{}, nil)
			leases.update(e.Channel) // add this line, after the reply
		})
		client.OnUnsubscribe(func(e centrifuge.UnsubscribeEvent) {
			leases.update(e.Channel) // add this line
		})
	})
	// end: centrifuge
	return node, nil
}

func maySubscribe(_, channel string) bool { return !strings.HasPrefix(channel, "secret:") }

// begin: centrifuge-leases

// channelLeases contains one client's leases, by channel.
type channelLeases struct {
	engine *occupancy.Engine
	client *centrifuge.Client

	mu     sync.Mutex // protects the following
	leases map[string]*occupancy.Lease
	closed bool
}

// update opens the lease of the channel if the client is subscribed to the channel, and
// closes the lease if not. The callbacks may run in any order, because update reads the
// current state of the subscription.
func (l *channelLeases) update(channel string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	subscribed := l.client.IsSubscribed(channel)
	switch lease := l.leases[channel]; {
	case l.closed:
	case !subscribed:
		lease.Close() // closing a nil lease does nothing
		delete(l.leases, channel)
	case lease == nil:
		if lease, err := l.engine.Connect(channel); err == nil {
			if l.leases == nil {
				l.leases = map[string]*occupancy.Lease{}
			}
			l.leases[channel] = lease
		}
	}
}

// updateAll updates the leases of all channels that the client is subscribed to.
func (l *channelLeases) updateAll() {
	for _, channel := range l.client.Channels() {
		l.update(channel)
	}
}

// close closes all leases. After close, update does nothing.
func (l *channelLeases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, lease := range l.leases {
		lease.Close()
	}
}

// end: centrifuge-leases
