package hooks

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
	"github.com/occupancy/occupancy"
)

// begin: coder

// Coder is a handler for "GET /ws/{room}" that counts its websockets.
func Coder(engine *occupancy.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // Accept has answered
		}
		defer ws.CloseNow()
		conn, err := engine.Connect(r.PathValue("room")) // counts from here
		if err != nil {
			return
		}
		defer conn.Close() // to here, however the websocket ends
		for err == nil {
			_, _, err = ws.Read(context.Background()) // your server's own loop
		}
	}
}

// end: coder
