package hooks

import (
	"context"
	"net/http"
	"sync"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/occupancy/occupancy"
)

// serveSubscribed is the handler of "GET /ws/{room}". It sends the client the
// occupancy of the room.
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

// broadcaster sends the events of a room to all clients in the room.
type broadcaster struct {
	mu       sync.Mutex                                       // protects the following
	channels map[string]map[chan occupancy.RoomEvent]struct{} // one channel for each client, by room
	last     map[string]occupancy.RoomEvent                   // the last event of each room that is not empty
}

func newBroadcaster() *broadcaster {
	return &broadcaster{channels: map[string]map[chan occupancy.RoomEvent]struct{}{}, last: map[string]occupancy.RoomEvent{}}
}

// run sends events until the engine is closed or ctx is done.
func (b *broadcaster) run(ctx context.Context, engine *occupancy.Engine) error {
	watcher, err := engine.Watch()
	if err != nil {
		return err
	}
	defer watcher.Close()
	for {
		changes, err := watcher.Next(ctx)
		if err != nil {
			return err
		}
		b.mu.Lock()
		for _, event := range changes {
			b.last[event.Room] = event
			if event.Occupancy == (occupancy.Occupancy{}) {
				delete(b.last, event.Room)
			}
			for events := range b.channels[event.Room] {
				offer(events, event)
			}
		}
		b.mu.Unlock()
	}
}

// join adds a client to the room. It returns the channel of the client's events, which
// already contains the room's last event, if there is one.
func (b *broadcaster) join(room string) (events chan occupancy.RoomEvent, leave func()) {
	events = make(chan occupancy.RoomEvent, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.channels[room] == nil {
		b.channels[room] = map[chan occupancy.RoomEvent]struct{}{}
	}
	b.channels[room][events] = struct{}{}
	if event, ok := b.last[room]; ok {
		offer(events, event)
	}
	return events, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if delete(b.channels[room], events); len(b.channels[room]) == 0 {
			delete(b.channels, room)
		}
	}
}

// offer puts the event into the channel. If the channel still contains an older event, offer
// removes the older event first. The caller holds broadcaster.mu.
func offer(events chan occupancy.RoomEvent, event occupancy.RoomEvent) {
	select {
	case <-events:
	default:
	}
	events <- event
}

// end: watch

// serveBroadcast is the handler of "GET /ws/{room}".
func serveBroadcast(engine *occupancy.Engine, b *broadcaster, w http.ResponseWriter, r *http.Request) {
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
	events, leave := b.join(lease.Room())
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
