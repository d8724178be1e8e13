package occupancyhttp

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveEvents serves a stream of the rooms and the lists in the query. It counts refused
// requests.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request) error {
	err := h.serveStream(w, r)
	if err == nil {
		return nil
	}
	e := toHTTPError(err)
	h.admission.countRefused(r, e)
	// The EventSource of a browser never retries after an error status. Other clients can send
	// another Accept header.
	isEventSource := strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream")
	if isEventSource && e.status == http.StatusServiceUnavailable {
		h.setStreamHeaders(w)
		_, _ = w.Write(newStart(retryAfter * time.Second))
		return nil
	}
	return err
}

// serveStream serves a stream. It returns an error only if it has written nothing yet.
func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request) error {
	shutdown := h.shutdowns.channel(r)
	if isClosed(shutdown) {
		return errClosed
	}
	selected, err := h.parse(r)
	if err != nil {
		return err
	}
	revocations := h.hub.revocations.Load()
	if err := h.check(r, &selected); err != nil {
		return err
	}
	out, err := newWriter(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		h.setStreamHeaders(w)
		return nil
	}
	release, err := h.admission.admit(r)
	if err != nil {
		return err
	}
	defer release()

	s := newStream(h, r, out, selected)
	defer h.hub.detach(s)
	if err := h.hub.attach(s, selected.rooms); err != nil {
		return err
	}
	if h.hub.revocations.Load() != revocations {
		// Revoke was called after check began, and may have missed this stream.
		if err := s.reauthorize(); err != nil {
			return err
		}
		if s.isEmpty() {
			return s.refused[len(s.refused)-1].httpError
		}
	}
	var first []frame
	for i, key := range selected.lists {
		list, unsubscribe, err := s.follow(&s.lists[i], key)
		defer unsubscribe()
		if err != nil {
			return err
		}
		first = append(first, list)
	}
	h.hub.refreshRegularly()
	if err := s.run(first, shutdown); err != nil {
		if out.tooSlow {
			h.admission.tooSlow.Add(1)
		}
		h.logger.DebugContext(r.Context(), "occupancyhttp: stream closed: write failed", "remote", r.RemoteAddr, "error", err)
	}
	return nil
}

// setStreamHeaders sets the headers of a stream.
func (h *Handler) setStreamHeaders(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	// Without no-transform, some middleware compresses responses, which delays events.
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	if h.heartbeat > 0 {
		header.Set("Occupancy-Heartbeat", strconv.FormatFloat(h.heartbeat.Seconds(), 'f', -1, 64))
	}
}
