package hooks

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/occupancy/occupancy"
)

// serveManyRooms is the handler of "GET /ws". Clients send messages to join and leave rooms.
func serveManyRooms(engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(pongWait)) })
	done := make(chan struct{})
	defer close(done)
	go ping(ws, done)
	readRooms(engine, ws)
}

// begin: many-rooms

// readRooms handles {"type":"join","room":"lobby"} and {"type":"leave","room":"lobby"}.
func readRooms(engine *occupancy.Engine, ws *websocket.Conn) {
	leases := map[string]*occupancy.Lease{} // by room
	defer func() {
		for _, lease := range leases {
			lease.Close()
		}
	}()
	for {
		ws.SetReadDeadline(time.Now().Add(pongWait))
		var m struct{ Type, Room string }
		if err := ws.ReadJSON(&m); err != nil {
			return
		}
		switch m.Type {
		case "join":
			if leases[m.Room] != nil || len(leases) == maxRooms {
				continue // the client is in this room already, or in too many rooms
			}
			lease, err := engine.Connect(m.Room)
			if err != nil {
				return // for example occupancy.ErrInvalidRoom
			}
			leases[m.Room] = lease
		case "leave":
			leases[m.Room].Close() // closing a nil lease does nothing
			delete(leases, m.Room)
		}
	}
}

// end: many-rooms

const maxRooms = 100 // that one client can join
