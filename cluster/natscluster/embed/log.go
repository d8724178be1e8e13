package embed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// serverLog forwards the log of a NATS server to slog, and collects its fatal errors.
type serverLog struct {
	log     *slog.Logger
	limiter busstate.Limiter

	mu    sync.Mutex // protects the following
	fatal []error
}

func (l *serverLog) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	if text := fmt.Sprintf(format, v...); level < slog.LevelInfo || l.limiter.Allow(text) {
		l.log.Log(ctx, level, "NATS server: "+text)
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelInfo, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

// Fatalf logs and collects the error. The default logger of the server would end the
// process here; this logger does not.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.write(slog.LevelError, format, v)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = append(l.fatal, fmt.Errorf(format, v...))
}

func (l *serverLog) fatalErrors() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.fatal)
}
