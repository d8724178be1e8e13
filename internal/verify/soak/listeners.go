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

// subscriber is a subscription and its last event. A stalled subscriber does not read under
// load.
type subscriber struct {
	sub     *occupancy.Subscription
	room    string
	stalled bool

	mu   sync.Mutex
	last occupancy.Event
}

// watcher is an occupancy.Watcher and the newest event that it returned for each room. A
// stalled watcher does not read under load.
type watcher struct {
	watcher *occupancy.Watcher
	prefix  string
	local   bool
	stalled bool

	mu    sync.Mutex
	rooms map[string]occupancy.RoomEvent
}

const subscribedRooms = 64

// subscribeAndWatch opens the subscriptions and watchers of the round. Half of them are
// stalled.
func (r *round) subscribeAndWatch() {
	for i := range min(subscribedRooms, r.rooms) {
		for n := range 4 {
			sub, err := r.e.Subscribe(r.names[i])
			if err != nil {
				r.fail("Subscribe to %s: %v", r.names[i], err)
				return
			}
			l := &subscriber{sub: sub, room: r.names[i], stalled: n%2 == 1}
			r.subs = append(r.subs, l)
			if !l.stalled {
				r.listening.Go(func() {
					for e := range sub.Events() {
						l.receive(r, e)
					}
				})
			}
		}
	}
	for n := range 8 {
		m := &watcher{local: n%2 == 1, stalled: n >= 4, rooms: map[string]occupancy.RoomEvent{}}
		var err error
		switch {
		case m.local:
			m.watcher, err = r.link.Watch()
		case n%4 >= 2:
			m.prefix = "room/"
			m.watcher, err = r.e.Watch(occupancy.WithPrefix(m.prefix))
		default:
			m.watcher, err = r.e.Watch()
		}
		if err != nil {
			r.fail("Watch: %v", err)
			return
		}
		r.watchers = append(r.watchers, m)
		if !m.stalled {
			r.listening.Go(func() {
				for m.read(r, context.Background()) {
				}
			})
		}
	}
}

func (l *subscriber) receive(r *round, e occupancy.Event) {
	r.reads.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Type != occupancy.EventUpdated || e.Version <= l.last.Version && l.last.Version > 0 {
		r.fail("%s: a subscriber received %+v after %+v", l.room, e, l.last)
	}
	l.last = e
}

// read takes one batch, and reports whether there can be another.
func (m *watcher) read(r *round, ctx context.Context) bool {
	events, err := m.watcher.Next(ctx)
	r.reads.Add(uint64(len(events)))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if was := m.rooms[e.Room]; e.Version <= was.Version || !strings.HasPrefix(e.Room, m.prefix) {
			r.fail("a watcher returned %+v after %+v", e, was)
		}
		m.rooms[e.Room] = e
		if strings.HasPrefix(e.Room, "visit/") && e.Occupancy == (occupancy.Occupancy{}) {
			delete(m.rooms, e.Room) // the name is not used again
		}
	}
	return err == nil
}

// check compares the newest events with the expected counts.
func (m *watcher) check(w counts) error {
	rooms := w.total
	if m.local {
		rooms = w.local
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range maps.Keys(m.rooms) {
		if got := m.rooms[name].Occupancy; got != rooms[name] {
			return fmt.Errorf("the newest event of a watcher for %s has %+v, want %+v", name, got, rooms[name])
		}
	}
	for name, o := range rooms {
		if got := m.rooms[name].Occupancy; got != o && strings.HasPrefix(name, m.prefix) {
			return fmt.Errorf("the newest event of a watcher for %s has %+v, want %+v", name, got, o)
		}
	}
	return nil
}

// check compares the last event with the expected counts.
func (l *subscriber) check(w counts) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.Occupancy != w.total[l.room] {
		return fmt.Errorf("the last event of a subscriber of %s is %+v, want %+v", l.room, l.last, w.total[l.room])
	}
	return nil
}

// checkListeners checks the last events of all listeners that are not stalled.
func (r *round) checkListeners(w counts) error {
	for _, l := range r.subs {
		if !l.stalled {
			if err := l.check(w); err != nil {
				return err
			}
		}
	}
	for _, m := range r.watchers {
		if !m.stalled {
			if err := m.check(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkStalled reads the stalled listeners and checks their last events.
func (r *round) checkStalled(w counts) error {
	for _, l := range r.subs {
		if !l.stalled {
			continue
		}
		select {
		case e := <-l.sub.Events():
			l.receive(r, e)
		default:
		}
		if err := l.check(w); err != nil {
			return fmt.Errorf("a stalled listener: %w", err)
		}
	}
	for _, m := range r.watchers {
		if !m.stalled {
			continue
		}
		for begun := time.Now(); ; {
			ctx, cancel := context.WithTimeout(context.Background(), r.interval)
			m.read(r, ctx)
			cancel()
			err := m.check(w)
			if err == nil {
				break
			}
			if time.Since(begun) > timeout {
				return fmt.Errorf("a stalled listener: %w", err)
			}
		}
	}
	return nil
}

// startShortListeners subscribes and watches for a moment, again and again.
func (r *round) startShortListeners(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.n<<16|id|2<<8)))
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			room := r.names[rng.IntN(len(r.names))]
			sub, err := r.e.Subscribe(room)
			if err != nil {
				r.fail("Subscribe to %s: %v", room, err)
				return
			}
			if e, open := <-sub.Events(); !open || sub.Room() != room {
				r.fail("the snapshot of %s is %+v", room, e)
			}
			pause(ctx, time.Duration(rng.Int64N(int64(r.interval))))
			sub.Unsubscribe()
			if e, open := <-sub.Events(); open {
				r.fail("%s: received %+v after Unsubscribe", room, e)
			}
			w, err := r.e.Watch(occupancy.WithPrefix("room/1"))
			if err != nil {
				r.fail("Watch: %v", err)
				return
			}
			nextCtx, cancel := context.WithTimeout(ctx, r.interval)
			_, _ = w.Next(nextCtx)
			cancel()
			_ = w.Close()
			if _, err := w.Next(context.Background()); err != occupancy.ErrClosed {
				r.fail("Next after Close: %v", err)
			}
			r.calls.Add(4)
		}
	})
}

// startReader reads all counts again and again.
func (r *round) startReader(ctx context.Context) {
	r.loading.Go(func() {
		for ctx.Err() == nil && r.error() == nil {
			for room, o := range r.e.All() {
				if now := r.e.Current(room); o.Connections < 0 || o.PresenceMembers < 0 || now.Connections < 0 || now.PresenceMembers < 0 {
					r.fail("%s has negative counts: %+v, then %+v", room, o, now)
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
