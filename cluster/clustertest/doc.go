// Package clustertest helps to test implementations and users of a [cluster.Bus]. A
// [Network] connects buses in memory and injects faults: loss, duplicates, reordering,
// delays and partitions. [TestBus] tests that a Bus meets its guarantees.
package clustertest
