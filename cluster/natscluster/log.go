package natscluster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"
)

// repeated keeps what happens at every message or try from filling the log.
type repeated struct {
	mu   sync.Mutex // protects the following
	said map[string]time.Time
}

const (
	silence = 10 * time.Second // before it is said again
	texts   = 100              // that are said in so long, at most
)

// drawn is what of an address differs each time: the port that the system chose for who
// dialled, and the server's number of the connection.
var drawn = regexp.MustCompile(`:\d+( - \w+:\d+ - |->)`)

// is reports whether the text is not to be said.
func (r *repeated) is(text string) bool {
	text = drawn.ReplaceAllString(text, " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(r.said, func(_ string, at time.Time) bool { return now.Sub(at) >= silence })
	if _, is := r.said[text]; is || len(r.said) >= texts {
		return true
	}
	if r.said == nil {
		r.said = make(map[string]time.Time)
	}
	r.said[text] = now
	return false
}

// serverLog has an embedded server log to slog, and keeps why it could not start.
type serverLog struct {
	log      *slog.Logger
	repeated repeated

	mu    sync.Mutex // protects the following
	fatal []error
}

func (l *serverLog) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	if text := fmt.Sprintf(format, v...); level < slog.LevelInfo || !l.repeated.is(text) {
		l.log.Log(ctx, level, "NATS server: "+text)
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelInfo, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

// Fatalf does not end the process, as the server's own log would.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.write(slog.LevelError, format, v)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = append(l.fatal, fmt.Errorf(format, v...))
}

func (l *serverLog) failures() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.fatal)
}
