package occupancyhttp_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/occupancy/occupancy/occupancyhttp"
)

// openFrom opens a stream from a remote address, and returns the status. The stream ends
// with the test.
func openFrom(t *testing.T, h http.Handler, address string) int {
	t.Helper()
	w := &statusWriter{frameWriter: frameWriter{http.Header{}, make(chan []byte), t.Context().Done()}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/events?room=lobby", nil)
		r.RemoteAddr = address
		h.ServeHTTP(w, r)
	}()
	synctest.Wait()
	return w.status
}

type statusWriter struct {
	frameWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) { w.status = status }

// Anonymous clients cannot use all streams, so that others are locked out.
func TestStreamKey_DefaultLimitsEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(100))
		open := func(address string, n int) (opened int) {
			for range n {
				if openFrom(t, h, address) == http.StatusOK {
					opened++
				}
			}
			return opened
		}
		for _, test := range []struct {
			address     string
			n, wantMost int
		}{
			{"192.0.2.1:1000", 12, 10},
			{"[::ffff:192.0.2.1]:1000", 1, 0}, // the same address
			{"192.0.2.2:1000", 1, 1},
			{"[2001:db8::1]:1000", 10, 10},
			{"[2001:db8::2]:1000", 1, 0}, // the same network
			{"[2001:db8:0:1::2]:1000", 1, 1},
			{"127.0.0.1:1000", 20, 20}, // probably a proxy
			{"10.1.2.3:1000", 20, 20},
			{"@", 20, 20}, // a unix socket
			{"[::1]:1000", 30, 18},
		} {
			if got := open(test.address, test.n); got != test.wantMost {
				t.Errorf("%s: %d of %d streams opened, want %d", test.address, got, test.n, test.wantMost)
			}
		}
		if got := h.Stats(); got.Streams != 100 || !maps.Equal(got.Refused, map[string]uint64{"client_limit": 4, "stream_limit": 12}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestStreamKey_LimitsEachUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := occupancyhttp.NewHandler(newEngine(t), occupancyhttp.WithStreamKey(func(r *http.Request) string { return r.Header.Get("User") }, 2))
		s := newTestServer(t, h)
		first := s.openStream("/events?room=a", "User", "alice")
		second := s.openStream("/events?room=a", "User", "alice")
		request := s.request(http.MethodGet, "/events?room=a")
		request.Header.Set("User", "alice")
		resp, err := s.client.Do(request)
		must(t, err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "client_limit") {
			t.Errorf("%s %s", resp.Status, body)
		}
		bob := s.openStream("/events?room=a", "User", "bob")
		var unlimited []*streamReader
		for range 5 {
			unlimited = append(unlimited, s.openStream("/events?room=a"))
		}
		first.close()
		synctest.Wait()
		third := s.openStream("/events?room=a", "User", "alice")
		for _, stream := range append(unlimited, second, third, bob) {
			stream.close()
		}
		synctest.Wait()
		if got := h.Stats(); got.Streams != 0 || got.Opened != 9 {
			t.Errorf("%+v", got)
		}
	})
}

// An EventSource never retries after an error status. So a temporary refusal has status
// 200, and tells it when to retry.
func TestEventSource_RetriesAfterTemporaryRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		h := occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(1), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
			if room == "private" {
				return occupancyhttp.ErrUnauthorized
			}
			return nil
		}))
		s := newTestServer(t, h)
		open := s.openStream("/events?room=a")
		request := func(path, accept string) (int, string) {
			r := s.request(http.MethodGet, path)
			r.Header.Set("Accept", accept)
			resp, err := s.client.Do(r)
			must(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			if resp.StatusCode == http.StatusOK && resp.Header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("%v", resp.Header)
			}
			return resp.StatusCode, string(body)
		}
		retry := regexp.MustCompile(`^retry: [5-9]\d{3}\n: at \d+\n\n$`)
		if status, body := request("/events?room=a", "text/event-stream"); status != http.StatusOK || !retry.MatchString(body) {
			t.Errorf("EventSource: %d %q", status, body)
		}
		if status, _ := request("/events?room=private", "text/event-stream"); status != http.StatusUnauthorized {
			t.Errorf("EventSource without credentials: %d", status)
		}
		if status, _ := request("/events?room=a", "*/*"); status != http.StatusServiceUnavailable {
			t.Errorf("fetch: %d", status)
		}
		open.close()
		must(t, e.Close())
		if status, body := request("/events?room=a", "text/event-stream"); status != http.StatusOK || !retry.MatchString(body) {
			t.Errorf("EventSource after Close: %d %q", status, body)
		}
	})
}
