package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// listener is a subscription and what it heard last. A hostile one never reads while
// there is load.
type listener struct {
	sub     *occupancy.Subscription
	room    string
	hostile bool

	mu   sync.Mutex
	last occupancy.Event
}

// mirror is a watcher and the rooms as it knows them. A hostile one never reads
// while there is load.
type mirror struct {
	watcher *occupancy.Watcher
	prefix  string
	local   bool
	hostile bool

	mu    sync.Mutex
	rooms map[string]occupancy.Event
}

const listened = 64 // rooms that are subscribed to

// listen subscribes and watches, some to read and some not to.
func (r *round) listen() {
	for i := range min(listened, r.rooms) {
		for n := range 4 {
			sub, err := r.e.Subscribe(r.names[i])
			if err != nil {
				r.fail("Subscribe to %s: %v", r.names[i], err)
				return
			}
			l := &listener{sub: sub, room: r.names[i], hostile: n%2 == 1}
			r.subs = append(r.subs, l)
			if !l.hostile {
				r.reading.Go(func() {
					for e := range sub.Events() {
						l.hear(r, e)
					}
				})
			}
		}
	}
	for n := range 8 {
		m := &mirror{local: n%2 == 1, hostile: n >= 4, rooms: map[string]occupancy.Event{}}
		var opts []occupancy.WatchOption
		if n%4 >= 2 {
			m.prefix = "room/"
			opts = append(opts, occupancy.WithPrefix(m.prefix))
		}
		if m.local {
			opts = append(opts, occupancy.LocalOnly())
		}
		m.watcher = r.e.Watch(opts...)
		r.watchers = append(r.watchers, m)
		if !m.hostile {
			r.reading.Go(func() {
				for m.read(r, context.Background()) {
				}
			})
		}
	}
}

func (l *listener) hear(r *round, e occupancy.Event) {
	r.reads.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Room != l.room || e.Version <= l.last.Version && l.last.Version > 0 {
		r.fail("%s was told %+v after %+v", l.room, e, l.last)
	}
	l.last = e
}

// read takes one batch, and reports whether there can be another.
func (m *mirror) read(r *round, ctx context.Context) bool {
	events, err := m.watcher.Next(ctx)
	r.reads.Add(uint64(len(events)))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if was := m.rooms[e.Room]; e.Version <= was.Version || !strings.HasPrefix(e.Room, m.prefix) {
			r.fail("a watcher was told %+v after %+v", e, was)
		}
		m.rooms[e.Room] = e
		if strings.HasPrefix(e.Room, "visit/") && e.Occupancy == (occupancy.Occupancy{}) {
			delete(m.rooms, e.Room) // its name never comes again
		}
	}
	return err == nil
}

// right checks the mirror against what has to be.
func (m *mirror) right(w want) error {
	rooms := w.total
	if m.local {
		rooms = w.local
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range maps.Keys(m.rooms) {
		if got := m.rooms[name].Occupancy; got != rooms[name] {
			return fmt.Errorf("the last that a watcher was told of %s is %+v, not %+v", name, got, rooms[name])
		}
	}
	for name, o := range rooms {
		if got := m.rooms[name].Occupancy; got != o && strings.HasPrefix(name, m.prefix) {
			return fmt.Errorf("the last that a watcher was told of %s is %+v, not %+v", name, got, o)
		}
	}
	return nil
}

func (l *listener) right(w want) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.Occupancy != w.total[l.room] {
		return fmt.Errorf("the last that a subscriber of %s was told is %+v, not %+v", l.room, l.last, w.total[l.room])
	}
	return nil
}

// lastWords checks what those who read were told last.
func (r *round) lastWords(w want) error {
	for _, l := range r.subs {
		if !l.hostile {
			if err := l.right(w); err != nil {
				return err
			}
		}
	}
	for _, m := range r.watchers {
		if !m.hostile {
			if err := m.right(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// sleepers checks what waits for those who did not read, once all others are told.
func (r *round) sleepers(w want) error {
	for _, l := range r.subs {
		if !l.hostile {
			continue
		}
		select {
		case e := <-l.sub.Events():
			l.hear(r, e)
		default:
		}
		if err := l.right(w); err != nil {
			return fmt.Errorf("one that did not read: %w", err)
		}
	}
	now, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, m := range r.watchers {
		if !m.hostile {
			continue
		}
		for begun := time.Now(); ; {
			ctx, done := context.WithTimeout(now, r.interval)
			m.read(r, ctx)
			done()
			err := m.right(w)
			if err == nil {
				break
			}
			if time.Since(begun) > patience {
				return fmt.Errorf("one that did not read: %w", err)
			}
		}
	}
	return nil
}

// flap subscribes and watches for a moment, again and again.
func (r *round) flap(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.n<<16|id|2<<8)))
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			room := r.names[rng.IntN(len(r.names))]
			sub, err := r.e.Subscribe(room)
			if err != nil {
				r.fail("Subscribe to %s: %v", room, err)
				return
			}
			if e, open := <-sub.Events(); !open || e.Room != room {
				r.fail("the snapshot of %s is %+v", room, e)
			}
			pause(ctx, time.Duration(rng.Int64N(int64(r.interval))))
			sub.Unsubscribe()
			if e, open := <-sub.Events(); open {
				r.fail("%s was told %+v after Unsubscribe", room, e)
			}
			w := r.e.Watch(occupancy.WithPrefix("room/1"))
			soon, cancel := context.WithTimeout(ctx, r.interval)
			_, _ = w.Next(soon)
			cancel()
			w.Close()
			if _, err := w.Next(context.Background()); err != occupancy.ErrClosed {
				r.fail("Next after Close: %v", err)
			}
			r.calls.Add(4)
		}
	})
}

// look reads all the time.
func (r *round) look(ctx context.Context) {
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			for room, o := range r.e.All() {
				if now := r.e.Current(room); o.Connections < 0 || o.PresenceMembers < 0 || now.Connections < 0 || now.PresenceMembers < 0 {
					r.fail("%s has %+v, and then %+v", room, o, now)
				}
				r.calls.Add(1)
			}
			if s := r.e.Stats(); s.Delivered < s.Folded || s.Rooms < 0 {
				r.fail("Stats are %+v", s)
			}
			pause(ctx, r.interval)
		}
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
