package clustertest

import "time"

// SetPatience sets how long something that must happen may take.
func SetPatience(d time.Duration) { patience = d }
