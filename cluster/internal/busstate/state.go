// Package busstate contains the code that the implementations of cluster.Bus share: the
// state of the connection, its log, and the check of the prefix of the subjects.
package busstate

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/occupancy/occupancy/cluster"
)

// State is the state of a Bus's connection. It sends the events and logs the changes. All
// methods can be called from any goroutine.
type State struct {
	*cluster.BusEvents
	broker    string
	log       *slog.Logger
	limiter   Limiter
	connected atomic.Bool

	mu     sync.Mutex       // protects the following
	last   cluster.BusEvent // the last reported state
	closed bool
}

// New returns the state of a Bus that has not reported anything yet. The broker is the name in
// the log, for example "NATS".
func New(broker string, log *slog.Logger) *State {
	return &State{BusEvents: cluster.NewBusEvents(), broker: broker, log: log}
}

// Connected reports whether the last state is Connected.
func (s *State) Connected() bool { return s.connected.Load() }

// SetConnected reports Connected if the state has changed.
func (s *State) SetConnected(server string) {
	s.set(cluster.Connected, "connected to "+s.broker, "server", server)
}

// SetDisconnected reports Disconnected if the state has changed.
func (s *State) SetDisconnected() { s.set(cluster.Disconnected, "disconnected from "+s.broker) }

func (s *State) set(state cluster.BusEvent, text string, details ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == state || s.closed {
		return
	}
	// A new connection is logged as a warning, so that "disconnected" is not the last line of
	// a log of warnings.
	level := slog.LevelWarn
	if s.last == 0 {
		level = slog.LevelInfo
	}
	s.last = state
	s.connected.Store(state == cluster.Connected)
	s.log.Log(context.Background(), level, text, details...)
	s.Send(state)
}

// Stop suppresses all later states and logs.
func (s *State) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// LogError logs an error, but a repeated error only once per 10 s.
func (s *State) LogError(text string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.closed && s.limiter.Allow(err.Error()) {
		s.log.Warn(text, "error", err)
	}
}

// A prefix with '$' could address subjects of a broker itself, and a wildcard could address
// subjects of other services.
var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// CheckPrefix returns an error if the prefix of the subjects is not valid.
func CheckPrefix(prefix string) error {
	if !validPrefix.MatchString(prefix) {
		return fmt.Errorf("WithPrefix: %q is invalid: use letters, digits, '-' and '_', with dots between tokens", prefix)
	}
	return nil
}
