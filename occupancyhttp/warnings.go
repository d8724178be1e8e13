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

	mu      sync.Mutex // protects entries
	entries map[string]*warning
}

// warning is what was logged with one text.
type warning struct {
	last    time.Time
	skipped int // since last
}

// log logs a warning, unless the same text was logged less than a minute ago. The next
// warning then contains the number of warnings skipped.
func (w *warnings) log(ctx context.Context, text string, args ...any) {
	w.mu.Lock()
	entry := w.entries[text]
	if entry == nil {
		entry = &warning{}
		w.entries[text] = entry
	}
	skipped, now := entry.skipped, time.Now()
	isLogged := now.Sub(entry.last) >= warnInterval
	if isLogged {
		entry.last, entry.skipped = now, 0
	} else {
		entry.skipped++
	}
	w.mu.Unlock()
	if isLogged {
		w.logger.WarnContext(ctx, "occupancyhttp: "+text, append(args, "skipped", skipped)...)
	}
}
