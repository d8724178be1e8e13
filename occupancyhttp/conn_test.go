package occupancyhttp_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy/occupancyhttp"
)

// A client that vanished keeps its stream no longer than the lifetime.
func TestStreamLifetime(t *testing.T) {
	for _, test := range []struct {
		name        string
		opts        []occupancyhttp.Option
		least, most time.Duration
	}{
		{"default", nil, 4 * time.Minute, 5 * time.Minute},
		{"set", []occupancyhttp.Option{occupancyhttp.WithStreamLifetime(10 * time.Minute)}, 8 * time.Minute, 10 * time.Minute},
		{"unlimited", []occupancyhttp.Option{occupancyhttp.WithStreamLifetime(0)}, time.Hour, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, configure func(*http.Server)) {
				e := newEngine(t)
				s := newTestServer(t, occupancyhttp.NewHandler(e, test.opts...), configure, func(s *http.Server) { s.ConnContext = occupancyhttp.ConnContext })
				start := time.Now()
				time.AfterFunc(time.Hour, func() { _ = e.Close() })
				s.openStream("/events?room=lobby").readToEnd()
				if took := time.Since(start); took < test.least || took > test.most {
					t.Errorf("ended after %v", took)
				}
			})
		})
	}
}

// Streams do not end at the same moment.
func TestStreamLifetime_HasJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, occupancyhttp.NewHandler(newEngine(t)))
		start := time.Now()
		ends := make(chan time.Duration)
		for range 10 {
			go func() {
				s.openStream("/events?room=lobby").readToEnd()
				ends <- time.Since(start)
			}()
		}
		different := map[time.Duration]bool{}
		for range 10 {
			different[<-ends] = true
		}
		if len(different) < 9 {
			t.Errorf("%v", different)
		}
	})
}

// serveTCP serves h over TCP with ConnContext. It returns the
// address and a channel that receives the server's side of each connection.
func serveTCP(t *testing.T, h http.Handler) (address string, conns <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	accepted := make(chan net.Conn, 1)
	s := &http.Server{Handler: h, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		accepted <- c
		return occupancyhttp.ConnContext(ctx, c)
	}}
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-served })
	return l.Addr().String(), accepted
}
