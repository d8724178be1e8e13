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
	one.waitText("nodeCount", " · 2 nodes")
	two.waitText("nodeCount", " · 2 nodes")
	two.waitText("nodes", "chat-1 1chat-2 1")
	two.waitTrue(`document.querySelectorAll("#plot .node0.area, #plot .node1.area").length === 2`)
	two.waitText("status", "")

	seed.kill() // the NATS server runs in the same process
	two.waitTrue(`document.getElementById("status").textContent.startsWith("These numbers may be out of date (")`)
	two.waitTrue(`document.body.classList.contains("stale")`)
	seed.start()
	two.waitText("status", "")
	two.waitText("nodes", "chat-1 1chat-2 1")
	one.waitCounts("lobby", 2, 0) // the tab has reconnected
	two.waitCounts("lobby", 2, 0)
}
