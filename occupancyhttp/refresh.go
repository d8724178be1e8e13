package occupancyhttp

import (
	"time"

	"github.com/occupancy/occupancy"
)

// refreshInterval is the time between two calls of refresh while a stream is open.
const refreshInterval = time.Second

// state contains the values that streams send in addition to rooms and lists. They are
// polled, because the engine sends no event when they change.
type state struct {
	status string // the frame of the event occupancy.stale; empty without WithHealth
	totals totals // zero without WithLists
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

// refreshRegularly refreshes the state now and regularly while a stream is open.
func (h *hub) refreshRegularly() {
	h.refreshing.Lock()
	defer h.refreshing.Unlock()
	if h.timer == nil && (h.health != nil || h.board != nil) {
		h.refresh()
	}
}

// refresh updates the state. If the state has changed, refresh wakes the streams that send
// it. If a stream is open, refresh will be called again. The caller must hold h.refreshing.
func (h *hub) refresh() {
	last, newest := h.state.Load(), &state{}
	if h.health != nil {
		reasons := h.health()
		newest.status = string(newFrame("occupancy.stale", "", struct {
			Stale   bool     `json:"stale"`
			Reasons []string `json:"reasons,omitempty"`
		}{len(reasons) > 0, reasons}))
	}
	if h.board != nil {
		newest.totals = newTotals(h.engine)
	}
	h.state.Store(newest)
	streams := h.openStreams()
	for _, s := range streams {
		if newest.status != last.status || newest.totals != last.totals && len(s.lists) > 0 {
			s.notify()
		}
	}
	h.timer = nil
	if len(streams) > 0 {
		h.timer = time.AfterFunc(refreshInterval, func() {
			h.refreshing.Lock()
			defer h.refreshing.Unlock()
			h.refresh()
		})
	}
}
