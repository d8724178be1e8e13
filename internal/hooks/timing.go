package hooks

import "time"

// These are variables so that the tests can shorten them.

// begin: timing
var (
	pingPeriod = 30 * time.Second // between two pings
	pongWait   = 60 * time.Second // until a silent client is disconnected; longer than pingPeriod
	writeWait  = 10 * time.Second // until a write to a client fails
)

// end: timing
