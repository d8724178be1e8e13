//go:build unix

package main

import "testing"

// A browser at each of two chats, started as the README says, but for the ports.
func TestPagesOfTwoNodes(t *testing.T) {
	browser := chromium(t)
	f := newFleet(t)
	server := freeAddress(t)
	seed := f.add("chat-1", "-cluster", "-cluster-listen", "127.0.0.1:0", "-cluster-client", server)
	other := f.add("chat-2", "-nats", server)
	seed.up()
	other.up()

	one := open(t, browser, "http://"+seed.host+"/#lobby")
	one.counts("lobby", 1, 0)
	two := open(t, browser, "http://"+other.host+"/#lobby")
	one.counts("lobby", 2, 0)
	two.counts("lobby", 2, 0)
	one.shows("nodes", " on 2 nodes")
	two.shows("nodes", " on 2 nodes")

	seed.kill() // and with it the server
	two.shows("nodes", " on 2 nodes, Degraded")
	seed.up()
	two.shows("nodes", " on 2 nodes")
	one.counts("lobby", 2, 0) // the tab has found its chat again
	two.counts("lobby", 2, 0)
}
