package occupancyhttp

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// status is the newest event occupancy.stale.
type status struct {
	health func() []string // nil without WithHealth

	mu    sync.Mutex            // held while event is updated
	event atomic.Pointer[frame] // nil without WithHealth
}

// update calls the function of [WithHealth], and reports whether the event has changed.
func (s *status) update() bool {
	if s.health == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reasons := s.health()
	event := newFrame("occupancy.stale", "", struct {
		Stale   bool     `json:"stale"`
		Reasons []string `json:"reasons,omitempty"`
	}{len(reasons) > 0, reasons})
	if last := s.event.Load(); last != nil && bytes.Equal(*last, event) {
		return false
	}
	s.event.Store(&event)
	return true
}
