package main

import (
	"crypto/rand"
	"encoding/json"
)

// relay exchanges chat messages with the other chat servers of the cluster, over the
// connection that also carries the counts. A message is lost if the connection is broken.
type relay struct {
	id      string                            // of this chat server
	publish func(data []byte) error           // to all chat servers, including this one
	deliver func(room string, message []byte) // to the clients of this chat server
}

// relayed is a chat message on its way to the other chat servers.
type relayed struct {
	From    string          `json:"from"` // the id of the chat server
	Room    string          `json:"room"`
	Message json.RawMessage `json:"message"` // as the clients receive it
}

func newRelay(deliver func(room string, message []byte)) *relay {
	return &relay{id: rand.Text(), deliver: deliver}
}

func (r *relay) send(room string, message []byte) {
	_ = r.publish(marshal(relayed{r.id, room, message}))
}

// receive delivers a message of another chat server to the clients.
func (r *relay) receive(data []byte) {
	var m relayed
	if json.Unmarshal(data, &m) == nil && m.From != r.id {
		r.deliver(m.Room, m.Message)
	}
}
