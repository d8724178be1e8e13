package occupancy

import (
	"slices"
	"strings"
)

// watchers notifies the watchers of the rooms that changed. publisher.mu protects it.
type watchers struct {
	totals   journal                 // the rooms whose total changed
	locals   journal                 // the rooms whose counts of this process changed
	selected map[string][]*selection // by room
	sleepers []*Watcher              // the watchers that wait in Next
	anyDue   bool                    // some sleepers are due
}

// watched reports whether a watcher may have to return the changes of c.
func (s *watchers) watched(c *cell) bool {
	return len(s.totals.readers)+len(s.locals.readers) > 0 || len(s.selected) > 0 && len(s.selected[c.name]) > 0
}

// totalChanged notifies the watchers of totals that the total of c has changed.
func (s *watchers) totalChanged(c *cell, before, now publication) {
	s.changed(&s.totals, c, before, now)
	if len(s.selected) > 0 {
		for _, selection := range s.selected[c.name] {
			selection.changed[c.name] = struct{}{}
			s.notify(selection.w)
		}
	}
}

// localChanged notifies the watchers of local counts that this process's part of c has changed.
func (s *watchers) localChanged(c *cell, before, now publication) {
	s.changed(&s.locals, c, before, now)
}

// usersChanged notifies the watchers of local counts that this process's users of a room have
// changed, although the counts have not.
func (s *watchers) usersChanged(room string) {
	for _, r := range s.locals.readers {
		r.returnUnchanged(room)
	}
}

// interestChanged notifies the watchers of a link WithInterest that a room has got its first
// subscription or selecting watcher, or has lost the last one. The caller must call wake.
func (s *watchers) interestChanged(room string) {
	for _, r := range s.locals.readers {
		if r.interest {
			r.returnUnchanged(room)
		}
	}
}

func (s *watchers) changed(j *journal, c *cell, before, now publication) {
	j.add(c, before, now)
	for _, w := range s.sleepers {
		if r := w.all; r != nil && r.j == j && strings.HasPrefix(c.name, r.prefix) {
			s.notify(w)
		}
	}
}

// notify marks a watcher that has something to return. The caller must call wake.
func (s *watchers) notify(w *Watcher) { w.due, s.anyDue = true, true }

// wake wakes the sleepers that have something to return.
func (s *watchers) wake() {
	if !s.anyDue {
		return
	}
	s.anyDue = false
	s.sleepers = slices.DeleteFunc(s.sleepers, func(w *Watcher) bool {
		if !w.due {
			return false
		}
		w.sleeping, w.due = false, false
		select {
		case w.wake <- struct{}{}:
		default: // wake already holds a token
		}
		return true
	})
}

// mustKeep reports whether a watcher must still return that c is empty.
func (s *watchers) mustKeep(c *cell) bool { return s.totals.mustKeep(c) || s.locals.mustKeep(c) }

// busy reports whether telling the watchers of a change may take long.
func (s *watchers) busy() bool {
	return len(s.sleepers) > maxInlineSleepers || s.totals.full() || s.locals.full()
}
