// Package stress calls all methods of an engine concurrently, and measures the memory that
// the engine keeps. It contains only tests.
//
//	storm_test.go    all methods concurrently, in rounds; all counts are exact after each round
//	counts_test.go   hooks, leases and counts of other nodes, in a few rooms that often become empty
//	hooks_test.go    two simultaneous hooks of one room
//	limit_test.go    the limits of WithMaxRooms
//	close_test.go    Close during everything else
//	watch_test.go    watchers of different speed
//	memory_test.go   the memory of emptied rooms, listeners and refused names
package stress
