package hooks

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/occupancy/occupancy"
)

// servePumpsWithEvents is the handler of "GET /ws/{room}". It sends the client the occupancy
// of the room.
func servePumpsWithEvents(ctx context.Context, engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	lease, err := engine.Connect(r.PathValue("room"))
	if err != nil {
		closeWith(ws, websocket.ClosePolicyViolation, err.Error())
		return
	}
	// begin: subscribe-pump
	sub, err := engine.Subscribe(lease.Room())
	if err != nil {
		lease.Close()
		closeWith(ws, websocket.ClosePolicyViolation, err.Error())
		return
	}
	c := &client{ws: ws, lease: lease, send: make(chan []byte, 64)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	go c.writePumpWithEvents(sub) // replaces writePump
	go c.readPump()
	// end: subscribe-pump
}

// begin: events-pump

// writePumpWithEvents writes messages, pings, and the events of the room. It also returns
// when the engine is closed.
func (c *client) writePumpWithEvents(sub *occupancy.Subscription) {
	defer c.ws.Close() // then readPump also returns
	defer sub.Unsubscribe()
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-c.ctx.Done():
			closeWith(c.ws, websocket.CloseGoingAway, "the server is stopping") // or readPump has returned
			return
		case event, open := <-sub.Events(): // the first event is the current occupancy
			if !open {
				return // the engine is closed; without this check the loop would send empty events
			}
			c.ws.SetWriteDeadline(time.Now().Add(writeWait))
			err = c.ws.WriteJSON(event)
		case message := <-c.send:
			c.ws.SetWriteDeadline(time.Now().Add(writeWait))
			err = c.ws.WriteMessage(websocket.TextMessage, message)
		case <-ticker.C:
			err = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait))
		}
		if err != nil {
			return
		}
	}
}

// end: events-pump
