package hooks

import (
	"context"
	"strings"
	"sync"

	"github.com/centrifugal/centrifuge"

	"github.com/occupancy/occupancy"
)

// newCentrifuge returns a node with handlers of its own. The server subscribes each
// client to its user's channel.
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
		leases := &channelLeases{engine: engine, client: client} // add
		leases.updateAll()                                       // add: counts the subscriptions of the ConnectReply
		client.OnAlive(leases.updateAll)                         // add: counts those of node.Subscribe
		client.OnDisconnect(func(centrifuge.DisconnectEvent) {
			leases.close() // add
		})
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			if !maySubscribe(client.UserID(), e.Channel) {
				reply(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			reply(centrifuge.SubscribeReply{}, nil)
			leases.update(e.Channel) // add: after the reply
		})
		client.OnUnsubscribe(func(e centrifuge.UnsubscribeEvent) {
			leases.update(e.Channel) // add
		})
	})
	// end: centrifuge
	return node, nil
}

func maySubscribe(_, channel string) bool { return !strings.HasPrefix(channel, "secret:") }

// begin: centrifuge-leases

// channelLeases contains the leases of one client, by channel.
type channelLeases struct {
	engine *occupancy.Engine
	client *centrifuge.Client

	mu     sync.Mutex // protects the following
	leases map[string]*occupancy.Lease
	closed bool
}

// update counts the client in the channel if it is subscribed to it, and no longer if
// not. It compares states, so the callbacks may run in any order.
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

// updateAll counts the subscriptions that the server has made.
func (l *channelLeases) updateAll() {
	for _, channel := range l.client.Channels() {
		l.update(channel)
	}
}

// close ends all leases. The client is not counted again.
func (l *channelLeases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, lease := range l.leases {
		lease.Close()
	}
}

// end: centrifuge-leases
