package hooks

import (
	"context"
	"net/http"
	"sync"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/occupancy/occupancy"
)

// serveSubscribed is the handler of "GET /ws/{room}". It notifies its client of the room.
func serveSubscribed(engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	lease, err := engine.Connect(r.PathValue("room"))
	if err != nil {
		return
	}
	defer lease.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go keepAlive(ctx, ws)
	// begin: subscribe
	sub, err := engine.Subscribe(lease.Room())
	if err != nil {
		return
	}
	defer sub.Unsubscribe() // closes the channel, which ends the goroutine
	go func() {
		for event := range sub.Events() { // the first event is the current occupancy
			if wsjson.Write(ctx, ws, event) != nil {
				return
			}
		}
	}()
	// end: subscribe
	readUntilClosed(ctx, ws)
}

func readUntilClosed(ctx context.Context, ws *websocket.Conn) {
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			return
		}
	}
}

// begin: watch

// lobby sends each client the occupancy of its room.
type lobby struct {
	mu      sync.Mutex                                       // protects the following
	clients map[string]map[chan occupancy.RoomEvent]struct{} // by room
	last    map[string]occupancy.RoomEvent                   // the last event of each room that is not empty
}

func newLobby() *lobby {
	return &lobby{clients: map[string]map[chan occupancy.RoomEvent]struct{}{}, last: map[string]occupancy.RoomEvent{}}
}

// run sends the events of all rooms until the engine is closed or ctx is done.
func (l *lobby) run(ctx context.Context, engine *occupancy.Engine) error {
	watcher, err := engine.Watch()
	if err != nil {
		return err
	}
	defer watcher.Close()
	for {
		events, err := watcher.Next(ctx)
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, event := range events {
			l.last[event.Room] = event
			if event.Occupancy == (occupancy.Occupancy{}) {
				delete(l.last, event.Room)
			}
			for client := range l.clients[event.Room] {
				offer(client, event)
			}
		}
		l.mu.Unlock()
	}
}

// join adds a client and sends it the room's last event. The client's own arrival follows
// as an event, unless another client's departure cancels it out.
func (l *lobby) join(room string) (client chan occupancy.RoomEvent, leave func()) {
	client = make(chan occupancy.RoomEvent, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[room] == nil {
		l.clients[room] = map[chan occupancy.RoomEvent]struct{}{}
	}
	l.clients[room][client] = struct{}{}
	if event, ok := l.last[room]; ok {
		offer(client, event)
	}
	return client, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if delete(l.clients[room], client); len(l.clients[room]) == 0 {
			delete(l.clients, room)
		}
	}
}

// offer replaces an event that the client has not read yet. The caller holds lobby.mu.
func offer(client chan occupancy.RoomEvent, event occupancy.RoomEvent) {
	select {
	case <-client:
	default:
	}
	client <- event
}

// end: watch

// serveLobby is the handler of "GET /ws/{room}".
func serveLobby(engine *occupancy.Engine, l *lobby, w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	lease, err := engine.Connect(r.PathValue("room"))
	if err != nil {
		return
	}
	defer lease.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go keepAlive(ctx, ws)
	// begin: watch-client
	events, leave := l.join(lease.Room())
	defer leave()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case event := <-events:
				if wsjson.Write(ctx, ws, event) != nil {
					return
				}
			}
		}
	}()
	// end: watch-client
	readUntilClosed(ctx, ws)
}
