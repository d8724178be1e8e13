// Package clustertest is for tests of what runs on package cluster: an in-memory
// [Network] whose buses lose, repeat, reorder, delay and partition on command, and
// [TestBus], which every other Bus must pass.
package clustertest
