package hooks

import (
	"context"
	"net/http"
	"time"

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
	leases := map[string]*occupancy.Lease{} // by room
	defer func() {
		for _, lease := range leases {
			lease.Close()
		}
	}()

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
			if leases[m.Room] != nil || len(leases) == maxRooms {
				continue // the client is in this room already, or in too many rooms
			}
			lease, err := engine.Connect(m.Room)
			if err != nil {
				refuse(ws, err) // for example occupancy.ErrInvalidRoom
				return
			}
			leases[m.Room] = lease
		case "leave":
			leases[m.Room].Close() // closing a nil lease does nothing
			delete(leases, m.Room)
		}
	}
}

// end: many-rooms
