package impl

import "sync"

// loop has the structure of gorilla/websocket's chat example: one goroutine owns the
// rooms and executes commands from a channel. Unlike the example, which uses several
// channels without a buffer, it uses one with a buffer. That is faster and keeps the
// commands in order, so that a Count includes every Join before it. Join returns when
// the command is queued.
type loop struct {
	commands chan command
	counts   sync.Pool // of the channels of count commands
	done     chan struct{}
	hub      *hub // its mutex is not used
}

// command tells the goroutine what to do in the room: return the count if count is set,
// subscribe if subscribe is set, and otherwise add or remove conn.
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

func (l *loop) Delivered() uint64 { return l.hub.delivered.Load() }

func (l *loop) Close() {
	close(l.commands)
	<-l.done
}
