package hooks

import (
	"sync"

	"github.com/centrifugal/centrifuge"
	"github.com/occupancy/occupancy"
)

// Subscriptions that the server makes itself, with Client.Subscribe or in its reply to
// a connecting client, do not pass OnSubscribe: call count for them too. A disconnect
// passes OnUnsubscribe for every channel.

// begin: centrifuge

// Centrifuge counts the subscribers of each channel of the node.
func Centrifuge(engine *occupancy.Engine, node *centrifuge.Node) {
	node.OnConnect(func(client *centrifuge.Client) {
		var mu sync.Mutex
		conns := map[string]*occupancy.Lease{} // by channel
		count := func(channel string) {       // called after each change, in whatever order they are told
			mu.Lock()
			defer mu.Unlock()
			if subscribed, conn := client.IsSubscribed(channel), conns[channel]; subscribed && conn == nil {
				if conn, err := engine.Connect(channel); err == nil { // else it is not counted
					conns[channel] = conn
				}
			} else if !subscribed && conn != nil {
				conn.Close()
				delete(conns, channel)
			}
		}
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{}, nil) // your server's own answer
			count(e.Channel)
		})
		client.OnUnsubscribe(func(e centrifuge.UnsubscribeEvent) { count(e.Channel) })
	})
}

// end: centrifuge
