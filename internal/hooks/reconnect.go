package hooks

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/occupancy/occupancy"
)

func userID(r *http.Request) string { return r.FormValue("user") }

// serveReconnecting is serveWebsocket for clients that reconnect.
func serveReconnecting(ctx context.Context, engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	// begin: reconnect
	lease, err := engine.Connect(r.PathValue("room"), occupancy.As(userID(r))) // your code: the ID of the user
	if err != nil {
		ws.Close(websocket.StatusPolicyViolation, err.Error())
		return
	}
	var closed error // why the read loop ended
	defer func() { lease.Linger(lingerTime(closed)) }()
	// end: reconnect

	defer context.AfterFunc(ctx, func() { ws.Close(websocket.StatusGoingAway, "the server is stopping") })()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go keepAlive(ctx, ws)
	for {
		messageType, message, err := ws.Read(ctx)
		if err != nil {
			closed = err
			return
		}
		onMessage(ctx, ws, messageType, message)
	}
}

// begin: linger-time

var (
	reloadWait    = 2 * time.Second // enough to load a page again
	reconnectWait = 5 * time.Second // enough for a few attempts to connect
)

// lingerTime returns how long a client remains counted, in case it reconnects. err is the
// error of ws.Read. Linger(0) closes a lease.
func lingerTime(err error) time.Duration {
	switch websocket.CloseStatus(err) {
	case websocket.StatusGoingAway: // the page was reloaded, or its tab was closed
		return reloadWait
	case -1: // no close frame: the connection broke
		return reconnectWait
	}
	return 0 // the client has left the room
}

// end: linger-time
