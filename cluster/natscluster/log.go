package natscluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// serverLog has an embedded server log to slog, and keeps why it could not start.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex // protects the following
	fatal []error
}

func (l *serverLog) write(level slog.Level, format string, v []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "NATS server: "+fmt.Sprintf(format, v...))
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
