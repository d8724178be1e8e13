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
		// Add these lines. The callbacks may run in any order, so update reads the current state.
		session := engine.Session(client.UserID())
		var mu sync.Mutex // between reading the state and acting on it, no other callback may act
		update := func(channels ...string) {
			mu.Lock()
			defer mu.Unlock()
			for _, channel := range channels {
				if client.IsSubscribed(channel) {
					_ = session.Join(channel)
				} else {
					_ = session.Leave(channel)
				}
			}
		}
		update(client.Channels()...)                            // counts the subscriptions in the ConnectReply
		client.OnAlive(func() { update(client.Channels()...) }) // counts the subscriptions made by node.Subscribe
		client.OnDisconnect(func(centrifuge.DisconnectEvent) {
			session.Close() // add this line
		})
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			if !maySubscribe(client.UserID(), e.Channel) {
				reply(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			reply(centrifuge.SubscribeReply{}, nil)
			update(e.Channel) // add this line, after the reply
		})
		client.OnUnsubscribe(func(e centrifuge.UnsubscribeEvent) {
			update(e.Channel) // add this line
		})
	})
	// end: centrifuge
	return node, nil
}

func maySubscribe(_, channel string) bool { return !strings.HasPrefix(channel, "secret:") }
