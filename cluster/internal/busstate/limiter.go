package busstate

import (
	"regexp"
	"sync"
	"time"
)

const (
	interval = 10 * time.Second // the minimum time between two logs of the same text
	maxTexts = 100              // the maximum number of texts that are remembered
)

// Limiter allows each text once per 10 s. The zero value is ready to use. Allow can be called
// from any goroutine.
type Limiter struct {
	mu     sync.Mutex
	logged map[string]time.Time
}

// ephemeral matches the parts of a text that differ at every attempt to connect: an
// ephemeral port, a server's number of the connection, and the current time in the error of
// an expired certificate.
var ephemeral = regexp.MustCompile(`:\d+( - \w+:\d+ - |->)|current time \S+`)

// Allow reports whether the caller should log the text. Two texts that differ only in an
// ephemeral port, a connection number or the current time count as the same text.
func (l *Limiter) Allow(text string) bool {
	text = ephemeral.ReplaceAllString(text, " ")
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.logged[text]) < interval {
		return false
	}
	if l.logged == nil || len(l.logged) >= maxTexts {
		l.logged = make(map[string]time.Time)
	}
	l.logged[text] = now
	return true
}
