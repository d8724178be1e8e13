package hooks

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/occupancy/occupancy"
)

// begin: pump

type client struct {
	ws     *websocket.Conn
	lease  *occupancy.Lease // add this field
	send   chan []byte      // messages to the client; only the method queue sends on it
	ctx    context.Context  // canceled when readPump returns or the server stops
	cancel context.CancelFunc
}

// servePumps is the handler of "GET /ws/{room}". It returns while the websocket is still
// open, so it must not close the lease.
func servePumps(ctx context.Context, engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has written the response
	}
	lease, err := engine.Connect(r.PathValue("room")) // after the upgrade: a plain GET is not counted
	if err != nil {
		closeWith(ws, websocket.ClosePolicyViolation, err.Error()) // for example occupancy.ErrInvalidRoom
		return
	}
	c := &client{ws: ws, lease: lease, send: make(chan []byte, 64)}
	c.ctx, c.cancel = context.WithCancel(ctx) // do not use r.Context()
	go c.writePump()
	go c.readPump()
}

// queue queues a message to the client. It never blocks: if the buffer is full, the client
// reads too slowly, and queue closes the websocket.
func (c *client) queue(message []byte) {
	select {
	case c.send <- message:
	default:
		c.ws.Close() // then both pumps return
	}
}

// readPump returns when the connection is closed, reset, or silent for pongWait.
func (c *client) readPump() {
	defer c.lease.Close()
	defer c.ws.Close()
	defer c.cancel()
	c.ws.SetReadLimit(maxMessage)
	c.ws.SetPongHandler(func(string) error { return c.ws.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		c.ws.SetReadDeadline(time.Now().Add(pongWait))
		_, message, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		c.handle(message) // your code; it must not block, so it sends messages with queue
	}
}

// writePump writes messages and pings. It returns when readPump has returned, the server
// stops, or a write fails.
func (c *client) writePump() {
	defer c.ws.Close() // then readPump also returns
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-c.ctx.Done():
			closeWith(c.ws, websocket.CloseGoingAway, "the server is stopping") // or readPump has returned
			return
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

// end: pump

// handle sends the message back.
func (c *client) handle(message []byte) { c.queue(message) }
