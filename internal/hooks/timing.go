package hooks

import "time"

// The tests set shorter durations.

// begin: timing
var (
	pingPeriod = 30 * time.Second // time between two pings
	pongWait   = 60 * time.Second // maximum time without data from the client; longer than pingPeriod
	writeWait  = 10 * time.Second // maximum time of a write to the client
)

// end: timing
