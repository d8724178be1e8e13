package clustertest

import "time"

// SetTimeout sets how long TestBus waits.
func SetTimeout(d time.Duration) { timeout = d }
