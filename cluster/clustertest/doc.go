// Package clustertest helps to test services of several nodes, and implementations of
// [cluster.Bus]. A [Network] connects nodes in memory and injects faults: loss, duplicates,
// reordering, delays and partitions. In a bubble of [testing/synctest] such a test takes no
// real time: [Network.Settle] returns when all nodes agree, and [Network.Want] compares
// their counts. [TestBus] tests that a Bus meets its guarantees.
package clustertest
