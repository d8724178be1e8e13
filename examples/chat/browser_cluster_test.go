//go:build unix

package main

import "testing"

// Two chat servers with one browser tab each. The flags are those of docs/cluster.md, except
// for the ports.
func TestPage_TwoNodes(t *testing.T) {
	browser := chromium(t)
	f := newFleet(t)
	server := freeAddress(t)
	seed := f.add("chat-1", "-cluster", "-cluster-listen", "127.0.0.1:0", "-cluster-client", server)
	other := f.add("chat-2", "-nats", server)
	seed.start()
	other.start()

	one := open(t, browser, "http://"+seed.addr+"/#lobby")
	one.waitCounts("lobby", 1, 0)
	two := open(t, browser, "http://"+other.addr+"/#lobby")
	one.waitCounts("lobby", 2, 0)
	two.waitCounts("lobby", 2, 0)
	one.waitText("nodes", " on 2 nodes")
	two.waitText("nodes", " on 2 nodes")

	seed.kill() // the NATS server runs in the same process
	two.waitText("nodes", " on 2 nodes, degraded")
	seed.start()
	two.waitText("nodes", " on 2 nodes")
	one.waitCounts("lobby", 2, 0) // the tab has reconnected
	two.waitCounts("lobby", 2, 0)
}
