package peer

import "sync"

// loop is the shape of gorilla/websocket's chat example: one goroutine owns the rooms,
// and all that is done to them goes to it by a channel. One channel with a buffer,
// where the example has several without, is faster and keeps the order, so that a
// Count sees every Join before it. A Join returns when it is queued.
type loop struct {
	orders  chan order
	replies sync.Pool
	done    chan struct{}
	hub     *hub // its lock is not used
}

// order is what the goroutine is to do: c joins or leaves, or, without c, a reply.
type order struct {
	room  string
	conn  *Conn
	join  bool
	reply chan int
	feed  chan Subscription
}

func newLoop() Peer {
	l := &loop{
		orders:  make(chan order, 256),
		replies: sync.Pool{New: func() any { return make(chan int, 1) }},
		done:    make(chan struct{}),
		hub:     newHub().(*hub),
	}
	go l.run()
	return l
}

func (l *loop) run() {
	defer close(l.done)
	for o := range l.orders {
		switch {
		case o.reply != nil:
			o.reply <- len(l.hub.rooms[o.room])
		case o.feed != nil:
			o.feed <- l.hub.subscribe(o.room)
		case o.join:
			l.hub.join(o.room, o.conn)
		default:
			l.hub.leave(o.room, o.conn)
		}
	}
}

func (l *loop) Join(room string, c *Conn)  { l.orders <- order{room: room, conn: c, join: true} }
func (l *loop) Leave(room string, c *Conn) { l.orders <- order{room: room, conn: c} }

func (l *loop) Count(room string) int {
	reply := l.replies.Get().(chan int)
	defer l.replies.Put(reply)
	l.orders <- order{room: room, reply: reply}
	return <-reply
}

func (l *loop) Subscribe(room string) Subscription {
	reply := make(chan Subscription)
	l.orders <- order{room: room, feed: reply}
	return <-reply
}

func (l *loop) Told() uint64 { return l.hub.told.Load() }

func (l *loop) Close() {
	close(l.orders)
	<-l.done
}
