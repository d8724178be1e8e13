package occupancyhttp

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveEvents serves a stream of the rooms and the lists that parse returns. It counts
// refused requests.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request, parse func(*http.Request) (selection, error)) error {
	err := h.serveStream(w, r, parse)
	if err == nil {
		return nil
	}
	e := toHTTPError(err)
	h.admission.countRefused(e.Code)
	if e.status == http.StatusServiceUnavailable && isEventSource(r) {
		h.setStreamHeaders(w)
		_, _ = w.Write(newStart(retryAfter * time.Second))
		return nil
	}
	return err
}

// isEventSource reports whether the request was sent by the EventSource of a browser,
// which never retries after an error status. Other clients can send another Accept header.
func isEventSource(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream")
}

// serveStream serves a stream. It returns an error only if it has written nothing yet.
func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request, parse func(*http.Request) (selection, error)) error {
	shutdown := h.shutdowns.channel(r)
	select {
	case <-shutdown:
		return errClosed
	default:
	}
	selected, err := parse(r)
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
	refused := selected.refused
	if h.hub.revocations.Load() != revocations {
		// Revoke was called after check began, and may have missed this stream.
		revoked, err := s.reauthorize()
		if err != nil {
			return err
		}
		refused = append(refused, revoked...)
		if s.open == 0 && len(s.lists) == 0 {
			return refused[len(refused)-1].httpError
		}
	}
	first := refusalFrames(refused)
	for i, key := range selected.lists {
		list, unsubscribe, err := s.follow(&s.lists[i], key)
		defer unsubscribe()
		if err != nil {
			return err
		}
		first = append(first, list)
	}
	h.hub.refresh()
	h.noteEnd(r, out, s.run(first, shutdown))
	return nil
}

// noteEnd counts and logs a stream that ended with err, the error of a failed write.
func (h *Handler) noteEnd(r *http.Request, out *writer, err error) {
	if err == nil {
		return
	}
	if out.tooSlow {
		h.admission.tooSlow.Add(1)
	}
	h.logger.DebugContext(r.Context(), "occupancyhttp: stream closed: write failed", "remote", r.RemoteAddr, "error", err)
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
