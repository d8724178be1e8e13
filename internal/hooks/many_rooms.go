package hooks

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/occupancy/occupancy"
)

// begin: many-rooms

const maxRooms = 100 // that one client can join

// serveManyRooms is the handler of "GET /ws". The client joins a room with the message
// {"type":"join","room":"lobby"}, and leaves it with {"type":"leave","room":"lobby"}.
func serveManyRooms(ctx context.Context, engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has written the response
	}
	defer ws.Close()
	session := engine.Session(userID(r)) // may be empty
	defer session.Close()

	ctx, cancel := context.WithCancel(ctx) // do not use r.Context()
	defer cancel()
	go ping(ctx, ws) // without pings, an idle client would be disconnected after pongWait
	ws.SetReadLimit(maxMessage)
	ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		ws.SetReadDeadline(time.Now().Add(pongWait))
		var m struct{ Type, Room string }
		if err := ws.ReadJSON(&m); err != nil {
			return // closed, reset, silent for pongWait, or invalid JSON
		}
		switch m.Type {
		case "join":
			if len(slices.Collect(session.Rooms())) == maxRooms {
				continue
			}
			if err := session.Join(m.Room); err != nil { // joining twice has no effect
				closeWith(ws, websocket.ClosePolicyViolation, err.Error()) // for example occupancy.ErrInvalidRoom
				return
			}
		case "leave":
			_ = session.Leave(m.Room) // ErrNotJoined if the client is not in this room
		}
	}
}

// end: many-rooms
