package occupancy

import (
	"maps"
	"slices"
	"strings"
)

// selection is the set of rooms that a watcher has selected. It holds names instead of
// cells, so that the watcher does not make the rooms exist.
type selection struct {
	rooms   map[string]struct{} // all selected rooms
	changed map[string]struct{} // the rooms that the next batches must contain
	first   map[string]struct{} // the rooms of changed that were selected by Watch
}

// watchSelected begins to watch the rooms with these names.
func (w *Watcher) watchSelected(names []string) error {
	p := w.p
	w.selected = &selection{map[string]struct{}{}, map[string]struct{}{}, map[string]struct{}{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms.closed.Load() {
		return ErrClosed
	}
	if err := w.selectRooms(names); err != nil {
		return err
	}
	maps.Copy(w.selected.first, w.selected.changed)
	p.openWatchers.Add(1)
	return nil
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
	return w.selectRooms(rooms)
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
		if _, ok := w.selected.rooms[name]; ok {
			w.unselect(name)
		}
		p.yieldLock(i)
	}
}

func (w *Watcher) selectRooms(names []string) error {
	p, s := w.p, w.selected
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
			if p.watchers.selected[name] = append(others, w); len(others) == 0 {
				p.watchers.interestChanged(name)
			}
		}
		p.watchers.notify(w)
		s.changed[name] = struct{}{}
		if c := p.rooms.live(name); c != nil {
			p.refresh(c)
		}
		if p.yieldLock(i); w.closed || p.rooms.closed.Load() {
			return ErrClosed
		}
	}
	return nil
}

// unselect removes a selected room.
func (w *Watcher) unselect(name string) {
	p, s := w.p, w.selected
	delete(s.rooms, name)
	delete(s.changed, name)
	delete(s.first, name)
	others := slices.DeleteFunc(p.watchers.selected[name], func(other *Watcher) bool { return other == w })
	if len(others) > 0 {
		p.watchers.selected[name] = others
	} else {
		delete(p.watchers.selected, name)
		p.watchers.interestChanged(name)
	}
}

func (w *Watcher) unselectAll() {
	defer w.p.watchers.wake()
	i := 0
	for name := range w.selected.rooms {
		w.unselect(name)
		w.p.yieldLock(i)
		i++
	}
}

// takeSelected is take for a watcher of selected rooms.
func (w *Watcher) takeSelected() (events []RoomEvent) {
	s := w.selected
	for name := range s.changed {
		if len(events) == maxBatch {
			break
		}
		delete(s.changed, name)
		delete(s.first, name)
		c := w.p.rooms.live(name)
		if c == nil || c.last.seq == 0 && c.extra.Load() == nil { // the cell has no version yet
			events = append(events, RoomEvent{name, Event{Type: EventUpdated, Version: w.p.seq}})
			continue
		}
		events = append(events, w.event(c))
	}
	return events
}
