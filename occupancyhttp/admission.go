package occupancyhttp

import (
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Stats contains the numbers of a [Handler], for metrics.
type Stats struct {
	Streams int               // open streams
	Rooms   int               // rooms of the open streams; a room of several streams counts once
	Opened  uint64            // streams opened since NewHandler
	Refused map[string]uint64 // requests for a stream that were refused since NewHandler, by the code of the error
	TooSlow uint64            // streams closed since NewHandler because a write took longer than ten seconds
}

// Stats returns the current numbers. The caller owns the map.
func (h *Handler) Stats() Stats {
	rooms := h.hub.roomCount()
	a := &h.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{Streams: a.open, Rooms: rooms, Opened: a.opened, Refused: maps.Clone(a.refused), TooSlow: a.tooSlow.Load()}
}

// admission counts the streams, and limits the number of open streams.
type admission struct {
	*config
	tooSlow atomic.Uint64

	mu      sync.Mutex // protects the following
	open    int
	byKey   map[string]int // open streams by key
	opened  uint64
	refused map[string]uint64
}

func newAdmission(c *config) admission {
	return admission{config: c, byKey: map[string]int{}, refused: map[string]uint64{}}
}

// admit counts a new stream, or returns an error if a limit is reached. The caller must
// call release when the stream has ended.
func (a *admission) admit(r *http.Request) (release func(), err error) {
	key := ""
	if a.maxPerKey > 0 {
		key = a.streamKey(r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.maxStreams > 0 && a.open >= a.maxStreams:
		return nil, errStreamLimit
	case key != "" && a.byKey[key] >= a.maxPerKey:
		return nil, errClientLimit
	}
	a.open++
	a.opened++
	a.byKey[key]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.open--
		if a.byKey[key]--; a.byKey[key] == 0 {
			delete(a.byKey, key)
		}
	}, nil
}

// countRefused counts a refused request, and logs a warning if a limit was reached.
func (a *admission) countRefused(r *http.Request, e *httpError) {
	if e == errStreamLimit || e == errClientLimit {
		a.warnings.log(r.Context(), e.Message, "remote", r.RemoteAddr)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused[e.Code]++
}

// addressKey is the default of [WithStreamKey].
func addressKey(r *http.Request) string {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	ip := address.Addr().Unmap().WithZone("")
	switch {
	case err != nil || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast():
		return ""
	case ip.Is6():
		network, _ := ip.Prefix(64)
		return network.String()
	}
	return ip.String()
}
