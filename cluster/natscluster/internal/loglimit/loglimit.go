// Package loglimit keeps errors that repeat, for example at every attempt to connect,
// from filling the log.
package loglimit

import (
	"maps"
	"regexp"
	"sync"
	"time"
)

const (
	interval = 10 * time.Second // between two logs of the same text
	maxTexts = 100              // logged per interval
)

// Limiter allows each text once per 10 s, and at most 100 texts in that time. The zero
// value is ready to use, by any number of goroutines.
type Limiter struct {
	mu     sync.Mutex
	logged map[string]time.Time
}

// The parts of an address that differ at every attempt: an ephemeral port, and the
// number by which a server identifies the connection.
var ephemeral = regexp.MustCompile(`:\d+( - \w+:\d+ - |->)`)

// Allow reports whether to log text, and remembers it if so. Texts that differ only in
// an ephemeral port are the same text.
func (l *Limiter) Allow(text string) bool {
	text = ephemeral.ReplaceAllString(text, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(l.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= interval })
	if _, found := l.logged[text]; found || len(l.logged) >= maxTexts {
		return false
	}
	if l.logged == nil {
		l.logged = make(map[string]time.Time)
	}
	l.logged[text] = now
	return true
}
