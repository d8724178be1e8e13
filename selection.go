package occupancy

import (
	"slices"
	"strings"
)

// selection is the set of rooms that a watcher has selected. It holds names instead of
// cells, so that the watcher does not make the rooms exist. publisher.mu protects it.
type selection struct {
	p       *publisher
	w       *Watcher
	rooms   map[string]struct{} // all selected rooms
	changed map[string]struct{} // the rooms that the next batches must contain
	initial map[string]struct{} // the rooms of changed that were selected by Watch
}

// Add adds rooms to the selection of a watcher made with [Rooms]. The next batch contains
// the current occupancy of each, even if it is empty, and even if it was selected
// already. On a watcher of all rooms Add does nothing. The error is ErrInvalidRoom, and then
// no room is added, or ErrClosed.
func (w *Watcher) Add(rooms ...string) error {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed || p.rooms.closed.Load() {
		return ErrClosed
	}
	if w.selected == nil {
		return nil
	}
	return w.selected.add(rooms)
}

// Remove removes rooms from the selection of a watcher made with [Rooms].
func (w *Watcher) Remove(rooms ...string) {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.selected == nil {
		return
	}
	defer p.watchers.wake()
	for i, name := range rooms {
		w.selected.remove(name)
		p.yieldLock(i)
	}
}

func (s *selection) add(names []string) error {
	p := s.p
	for _, name := range names {
		if !validName(name) {
			return ErrInvalidRoom
		}
	}
	defer p.watchers.wake()
	for i, name := range names {
		name = strings.Clone(name)
		if _, ok := s.rooms[name]; !ok {
			s.rooms[name] = struct{}{}
			others := p.watchers.selected[name]
			if p.watchers.selected[name] = append(others, s); len(others) == 0 {
				p.watchers.interestChanged(name)
			}
		}
		p.watchers.notify(s.w)
		s.changed[name] = struct{}{}
		if c := p.rooms.live(name); c != nil {
			p.refresh(c)
		}
		if p.yieldLock(i); s.w.closed || p.rooms.closed.Load() {
			return ErrClosed
		}
	}
	return nil
}

// remove removes a room if it is selected.
func (s *selection) remove(name string) {
	if _, ok := s.rooms[name]; !ok {
		return
	}
	delete(s.rooms, name)
	delete(s.changed, name)
	delete(s.initial, name)
	selected := s.p.watchers.selected
	others := slices.DeleteFunc(selected[name], func(other *selection) bool { return other == s })
	if len(others) > 0 {
		selected[name] = others
	} else {
		delete(selected, name)
		s.p.watchers.interestChanged(name)
	}
}

// end removes all rooms.
func (s *selection) end() {
	defer s.p.watchers.wake()
	i := 0
	for name := range s.rooms {
		s.remove(name)
		s.p.yieldLock(i)
		i++
	}
}

// take is Watcher.take.
func (s *selection) take() (events []RoomEvent) {
	for name := range s.changed {
		if len(events) == maxBatch {
			break
		}
		delete(s.changed, name)
		delete(s.initial, name)
		c := s.p.rooms.live(name)
		if c == nil || c.last.seq == 0 && c.extra.Load() == nil { // the cell has no version yet
			events = append(events, RoomEvent{name, Event{Type: EventUpdated, Version: s.p.seq}})
			continue
		}
		events = append(events, c.event())
	}
	return events
}
