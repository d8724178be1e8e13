package hooks

import (
	"sync"

	"github.com/occupancy/occupancy"
)

// newCallbackServer returns the handler of "GET /ws".
func newCallbackServer(engine *occupancy.Engine) *callbackServer {
	server := &callbackServer{}
	// begin: callbacks
	server.onConnection = func(client *callbackClient) {
		leases := &roomLeases{engine: engine}
		client.On("join", func(room string) {
			if err := leases.join(room); err != nil {
				client.Disconnect()
			}
		})
		client.On("leave", leases.leave)
		client.On("disconnect", func(string) { leases.close() })
	}
	// end: callbacks
	return server
}

// begin: room-leases

// roomLeases contains one client's leases, by room. Several goroutines may call the
// methods, in any order.
type roomLeases struct {
	engine *occupancy.Engine

	mu     sync.Mutex // protects the following
	leases map[string]*occupancy.Lease
	closed bool
}

// join counts the client in the room, at most once. After close, join does nothing.
func (l *roomLeases) join(room string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.leases[room] != nil {
		return nil
	}
	lease, err := l.engine.Connect(room)
	if err != nil {
		return err
	}
	if l.leases == nil {
		l.leases = map[string]*occupancy.Lease{}
	}
	l.leases[room] = lease
	return nil
}

// leave stops counting the client in the room.
func (l *roomLeases) leave(room string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leases[room].Close() // closing a nil lease does nothing
	delete(l.leases, room)
}

// close stops counting the client in all rooms.
func (l *roomLeases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, lease := range l.leases {
		lease.Close()
	}
	l.leases = nil
}

// end: room-leases
