package hooks

import (
	"net/http"

	"github.com/gorilla/websocket"
	"github.com/occupancy/occupancy"
)

var upgrader websocket.Upgrader

// begin: gorilla

// Gorilla is a handler for "GET /ws/{room}" that counts its websockets.
func Gorilla(engine *occupancy.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		defer ws.Close()
		conn, err := engine.Connect(r.PathValue("room")) // counts from here
		if err != nil {
			return
		}
		defer conn.Close() // to here, however the websocket ends
		for err == nil {
			_, _, err = ws.ReadMessage() // your server's own loop
		}
	}
}

// end: gorilla
