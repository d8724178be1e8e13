package impl

import "sync"

// loop has the structure of gorilla/websocket's chat example: one goroutine owns the
// rooms and executes commands from a channel. The example uses several channels without
// buffers. loop uses one channel with a buffer, which is faster and keeps the commands in
// order, so that a Count includes every earlier Join. Join returns when the command is
// queued.
type loop struct {
	commands chan command
	counts   sync.Pool // channels for the field count of a command
	done     chan struct{}
	hub      *hub // its mutex is not used
}

// command is a Count of the room if count is set, a Subscribe if subscribe is set, a Join
// of conn if join is true, and otherwise a Leave of conn.
type command struct {
	room      string
	conn      *Conn
	join      bool
	count     chan int
	subscribe chan Subscription
}

func newLoop() *loop {
	l := &loop{
		commands: make(chan command, 256),
		counts:   sync.Pool{New: func() any { return make(chan int, 1) }},
		done:     make(chan struct{}),
		hub:      newHub(),
	}
	go l.run()
	return l
}

func (l *loop) run() {
	defer close(l.done)
	for c := range l.commands {
		switch {
		case c.count != nil:
			c.count <- len(l.hub.rooms[c.room])
		case c.subscribe != nil:
			c.subscribe <- l.hub.subscribe(c.room)
		case c.join:
			l.hub.join(c.room, c.conn)
		default:
			l.hub.leave(c.room, c.conn)
		}
	}
}

func (l *loop) Join(room string, c *Conn)  { l.commands <- command{room: room, conn: c, join: true} }
func (l *loop) Leave(room string, c *Conn) { l.commands <- command{room: room, conn: c} }

func (l *loop) Count(room string) int {
	count := l.counts.Get().(chan int)
	defer l.counts.Put(count)
	l.commands <- command{room: room, count: count}
	return <-count
}

func (l *loop) Subscribe(room string) Subscription {
	subscribe := make(chan Subscription)
	l.commands <- command{room: room, subscribe: subscribe}
	return <-subscribe
}

func (l *loop) Watch(f func(room string, count int)) { l.hub.Watch(f) }
func (l *loop) Delivered() uint64                    { return l.hub.delivered.Load() }

func (l *loop) Close() {
	close(l.commands)
	<-l.done
	l.hub.Close()
}
