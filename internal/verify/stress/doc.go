// Package stress calls everything of an engine concurrently, and measures the memory that
// it keeps. It contains only tests.
//
//	storm_test.go    every method at once, in rounds; everything is exact after each round
//	counts_test.go   hooks, leases and remote parts of a few rooms that often end
//	hooks_test.go    two simultaneous hooks of one room
//	limit_test.go    the limits of WithMaxRooms
//	close_test.go    Close during everything else
//	watch_test.go    watchers of different speed
//	memory_test.go   the memory of emptied rooms, listeners and refused names
package stress
