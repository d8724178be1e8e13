package hooks

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// callbackServer is a websocket server in the style of Socket.IO. For each event of a client
// it calls a callback in a new goroutine, so the callbacks of one client run concurrently
// and in any order. Clients send events as {"event":"join","room":"lobby"}.
type callbackServer struct {
	onConnection func(*callbackClient)
}

type callbackClient struct {
	ws        *websocket.Conn
	userID    string
	callbacks map[string]func(room string)
}

// On sets the callback of an event. The server itself generates the event "disconnect" when
// the connection has ended.
func (c *callbackClient) On(event string, callback func(room string)) { c.callbacks[event] = callback }

// Disconnect closes the connection.
func (c *callbackClient) Disconnect() { c.ws.Close() }

func (s *callbackServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &callbackClient{ws: ws, userID: userID(r), callbacks: map[string]func(string){}}
	defer c.Disconnect()
	s.onConnection(c)
	var callbacks sync.WaitGroup
	defer callbacks.Wait()
	call := func(event, room string) {
		if callback := c.callbacks[event]; callback != nil {
			callbacks.Go(func() { callback(room) })
		}
	}
	defer call("disconnect", "")

	ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(pongWait)) })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go ping(ctx, ws)
	for {
		ws.SetReadDeadline(time.Now().Add(pongWait))
		var m struct{ Event, Room string }
		if ws.ReadJSON(&m) != nil {
			return
		}
		call(m.Event, m.Room)
	}
}
