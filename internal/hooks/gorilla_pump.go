package hooks

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/occupancy/occupancy"
)

// begin: pump

type client struct {
	ws    *websocket.Conn
	lease *occupancy.Lease // add this field
	send  chan []byte      // messages to the client
	done  chan struct{}    // closed when readPump returns
}

// servePumps is the handler of "GET /ws/{room}". It returns while the websocket is still
// open, so it must not close the lease.
func servePumps(engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has written the response
	}
	lease, err := engine.Connect(r.PathValue("room")) // after the upgrade: a plain GET is not counted
	if err != nil {
		ws.Close()
		return
	}
	c := &client{ws: ws, lease: lease, send: make(chan []byte, 64), done: make(chan struct{})}
	go c.writePump()
	go c.readPump()
}

// readPump returns when the connection is closed, reset, or silent for pongWait.
func (c *client) readPump() {
	defer c.lease.Close()
	defer c.ws.Close()
	defer close(c.done)
	c.ws.SetPongHandler(func(string) error { return c.ws.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		c.ws.SetReadDeadline(time.Now().Add(pongWait))
		_, message, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		c.handle(message) // your code
	}
}

// writePump writes messages and pings. It returns when readPump has returned or a write fails.
func (c *client) writePump() {
	defer c.ws.Close() // then readPump also returns
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-c.done:
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

// handle sends the message back. It closes the connection if the client reads too slowly.
func (c *client) handle(message []byte) {
	select {
	case c.send <- message:
	default:
		_ = c.ws.Close()
	}
}
