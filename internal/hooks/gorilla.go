package hooks

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/occupancy/occupancy"
)

var upgrader websocket.Upgrader

// begin: gorilla

// serveRoom is the handler of "GET /ws/{room}". It returns when the websocket is closed.
func serveRoom(engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has written the response
	}
	defer ws.Close()
	lease, err := engine.Connect(r.PathValue("room")) // after the upgrade: a plain GET is not counted
	if err != nil {
		return // for example occupancy.ErrInvalidRoom
	}
	defer lease.Close()

	ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(pongWait)) })
	done := make(chan struct{})
	defer close(done)
	go ping(ws, done)
	for {
		ws.SetReadDeadline(time.Now().Add(pongWait))
		messageType, message, err := ws.ReadMessage()
		if err != nil {
			return // closed, reset, or silent for pongWait
		}
		handleMessage(ws, messageType, message) // your code
	}
}

// ping pings the client until done is closed. It closes the connection if a ping cannot be
// written within writeWait.
func ping(ws *websocket.Conn, done <-chan struct{}) {
	defer ws.Close()
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-done:
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
