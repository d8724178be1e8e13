package occupancyhttp

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// warnInterval is the minimum time between two warnings with the same text.
const warnInterval = time.Minute

// warnings logs warnings. It limits their number, so that clients cannot fill the log.
type warnings struct {
	logger *slog.Logger

	mu   sync.Mutex           // protects last
	last map[string]time.Time // the time of the last warning, by text
}

// log logs a warning, unless the same text was logged less than a minute ago.
func (w *warnings) log(ctx context.Context, text string, args ...any) {
	w.mu.Lock()
	now := time.Now()
	isLogged := now.Sub(w.last[text]) >= warnInterval
	if isLogged {
		w.last[text] = now
	}
	w.mu.Unlock()
	if isLogged {
		w.logger.WarnContext(ctx, "occupancyhttp: "+text, args...)
	}
}
