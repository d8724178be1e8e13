// Package cluster makes one occupancy of many nodes: each process has an engine, and
// each engine knows the whole of every room.
package cluster
