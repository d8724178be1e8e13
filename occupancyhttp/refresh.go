package occupancyhttp

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
)

// refreshInterval is the time between two calls of refresh while a stream is open.
const refreshInterval = time.Second

// state contains the values that streams send in addition to rooms and lists. They are
// polled, because the engine sends no event when they change.
type state struct {
	mu     sync.Mutex             // held by refresh
	status atomic.Pointer[frame]  // the newest event occupancy.stale; nil without WithHealth
	totals atomic.Pointer[totals] // nil without WithLists
}

// totals are the totals of the service.
type totals struct {
	Rooms int `json:"rooms"`
	occupancy.Occupancy
}

func newTotals(e *occupancy.Engine) totals {
	s := e.Stats()
	return totals{s.Rooms, s.Total}
}

// refreshRegularly calls refresh regularly until done is closed.
func (h *hub) refreshRegularly(done <-chan struct{}) {
	ticker := time.NewTicker(refreshInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.refresh()
		case <-done:
			return
		}
	}
}

// refresh updates the status and the totals, and wakes the streams that send them if they
// have changed.
func (h *hub) refresh() {
	statusChanged, totalsChanged := h.state.update(h)
	if !statusChanged && !totalsChanged {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		if statusChanged || len(s.lists) > 0 {
			s.notify()
		}
	}
}

// update updates the values, and reports which of them have changed.
func (p *state) update(h *hub) (statusChanged, totalsChanged bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.health != nil {
		reasons := h.health()
		status := newFrame("occupancy.stale", "", struct {
			Stale   bool     `json:"stale"`
			Reasons []string `json:"reasons,omitempty"`
		}{len(reasons) > 0, reasons})
		if last := p.status.Load(); last == nil || !bytes.Equal(*last, status) {
			p.status.Store(&status)
			statusChanged = true
		}
	}
	if h.board != nil {
		total := newTotals(h.engine)
		if last := p.totals.Load(); last == nil || *last != total {
			p.totals.Store(&total)
			totalsChanged = true
		}
	}
	return statusChanged, totalsChanged
}
