package hooks

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/occupancy/occupancy"
)

// begin: coder

// serveWebsocket is the handler of "GET /ws/{room}". It returns when the websocket is closed.
func serveWebsocket(ctx context.Context, engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has written the response
	}
	defer ws.CloseNow()
	lease, err := engine.Connect(r.PathValue("room")) // after the upgrade: a plain GET is not counted
	if err != nil {
		ws.Close(websocket.StatusPolicyViolation, err.Error())
		return
	}
	defer lease.Close()

	// When the server stops, send a close frame. Close waits for the client's answer, but not longer than ten seconds.
	defer context.AfterFunc(ctx, func() { ws.Close(websocket.StatusGoingAway, "the server is stopping") })()
	ctx, cancel := context.WithCancel(context.Background()) // do not use r.Context()
	defer cancel()
	go keepAlive(ctx, ws)
	for {
		messageType, message, err := ws.Read(ctx)
		if err != nil {
			return // closed, reset, or no answer to a ping
		}
		onMessage(ctx, ws, messageType, message) // your code
	}
}

// keepAlive pings the client. It closes the connection if the client does not answer a ping
// within pongWait.
func keepAlive(ctx context.Context, ws *websocket.Conn) {
	defer ws.CloseNow()
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		pingCtx, cancel := context.WithTimeout(ctx, pongWait)
		err := ws.Ping(pingCtx)
		cancel()
		if err != nil {
			return
		}
	}
}

// end: coder

// onMessage sends the message back.
func onMessage(ctx context.Context, ws *websocket.Conn, messageType websocket.MessageType, message []byte) {
	_ = ws.Write(ctx, messageType, message) // if this blocks, keepAlive closes the connection
}
