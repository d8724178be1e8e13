package hooks

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/occupancy/occupancy"
)

// begin: gorilla-shared

var upgrader websocket.Upgrader // it accepts web pages of the same origin only

const maxMessage = 4096 // bytes of a message from the client; without a limit, a client can fill the memory

// closeWith sends a close frame with a code and a reason, and closes the websocket.
func closeWith(ws *websocket.Conn, code int, reason string) {
	frame := websocket.FormatCloseMessage(code, reason)
	_ = ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(writeWait)) // fails if the websocket is closed
	ws.Close()
}

// end: gorilla-shared

// begin: gorilla

// serveRoom is the handler of "GET /ws/{room}". It returns when the websocket is closed.
func serveRoom(ctx context.Context, engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has written the response
	}
	defer ws.Close()
	lease, err := engine.Connect(r.PathValue("room")) // after the upgrade: a plain GET is not counted
	if err != nil {
		closeWith(ws, websocket.ClosePolicyViolation, err.Error()) // for example occupancy.ErrInvalidRoom
		return
	}
	defer lease.Close()

	ctx, cancel := context.WithCancel(ctx) // do not use r.Context()
	defer cancel()
	go ping(ctx, ws)
	ws.SetReadLimit(maxMessage)
	ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		ws.SetReadDeadline(time.Now().Add(pongWait))
		messageType, message, err := ws.ReadMessage()
		if err != nil {
			return // closed, reset, or silent for pongWait
		}
		handleMessage(ws, messageType, message) // your code
	}
}

// ping pings the client until ctx is done, and then closes the websocket. It also closes
// the websocket if a ping cannot be written within writeWait.
func ping(ctx context.Context, ws *websocket.Conn) {
	defer ws.Close()
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			closeWith(ws, websocket.CloseGoingAway, "the server is stopping") // or the handler has returned
			return
		case <-ticker.C:
			if ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)) != nil {
				return
			}
		}
	}
}

// end: gorilla

// handleMessage sends the message back.
func handleMessage(ws *websocket.Conn, messageType int, message []byte) {
	_ = ws.WriteMessage(messageType, message) // if this blocks, ping closes the connection
}
