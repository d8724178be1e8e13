package bustest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Log collects a log. Searches in the log ignore case.
type Log struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Logger returns a logger that writes to l.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write adds p to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// Count returns how often the log contains the text.
func (l *Log) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(strings.ToLower(l.all.String()), strings.ToLower(text))
}

// Contains reports whether the log contains the text.
func (l *Log) Contains(text string) bool { return l.Count(text) > 0 }
