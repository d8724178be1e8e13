//go:build unix

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

var allFaults = flag.Bool("faults", false, "cause all faults of the table in docs/cluster.md and print the measured times")

// After each fault, all servers must show the correct counts again. The test prints the time
// until then and the target. It does not compare the two times, because machines differ.
func TestClusterFaults(t *testing.T) {
	t.Run("nats", func(t *testing.T) { testFaults(t, natsCluster) })
	t.Run("redis", func(t *testing.T) { testFaults(t, redisCluster) })
}

// faultCluster is a cluster of five chat servers that a test can disturb.
type faultCluster struct {
	*fleet
	left, right, near, far1, far2 *process

	toServer    *link   // from near to its server
	split       []*link // from left and near to the others
	breakServer func()  // causes the faults of the server
	rows        []row
}

// Two chat servers are seeds:
//
//	left ── two links ─ right        seeds
//	 │                  │   │
//	near              far1 far2
func natsCluster(c *faultCluster) {
	// Each seed connects to the other seed through a link.
	one, two, server, other := freeAddress(c.t), freeAddress(c.t), freeAddress(c.t), freeAddress(c.t)
	toRight, toLeft := newLink(c.t, two), newLink(c.t, one)
	c.toServer, c.split = newLink(c.t, server), []*link{toRight, toLeft}
	c.left = c.add("left", "-cluster", "-cluster-listen", one, "-cluster-client", server, "-cluster-seeds", toRight.address())
	c.right = c.add("right", "-cluster", "-cluster-listen", two, "-cluster-client", other, "-cluster-seeds", toLeft.address())
	c.near = c.add("near", "-nats", c.toServer.address())
	c.far1 = c.add("far1", "-nats", other)
	c.far2 = c.add("far2", "-nats", other)
	c.breakServer = func() {
		c.left.signal(syscall.SIGSTOP)
		c.heal("10 s SIGSTOP of a seed, from SIGCONT", time.Now(), func() { c.left.signal(syscall.SIGCONT) }, c.right, c.near, c.far1, c.far2)

		killed := time.Now()
		c.right.kill() // the NATS clients of right reconnect to left
		c.record("kill -9 of a seed that others are connected to, until its counts are removed", "6.5 s", c.waitCorrect(killed))
		c.restart(c.right, 5)
	}
}

// All chat servers connect to one redis-server:
//
//	left ─ link ─ redis-server
//	near ─ link ───┤  │    │
//	            right far1 far2
func redisCluster(c *faultCluster) {
	redis := startRedis(c.t)
	ofLeft := newLink(c.t, redis.address)
	c.toServer = newLink(c.t, redis.address)
	c.split = []*link{ofLeft, c.toServer}
	c.left = c.add("left", "-redis", "redis://"+ofLeft.address())
	c.right = c.add("right", "-redis", redis.url())
	c.near = c.add("near", "-redis", "redis://"+c.toServer.address())
	c.far1 = c.add("far1", "-redis", redis.url())
	c.far2 = c.add("far2", "-redis", redis.url())
	c.breakServer = func() {
		redis.signal(syscall.SIGSTOP)
		c.heal("10 s SIGSTOP of redis-server, from SIGCONT", time.Now(), func() { redis.signal(syscall.SIGCONT) }, c.servers...)

		redis.kill()
		c.heal("kill -9 of redis-server, from its restart after 10 s", time.Now(), redis.start, c.servers...)
	}
}

func (c *faultCluster) record(what, target string, took time.Duration) {
	c.rows = append(c.rows, row{what, target, fmt.Sprintf("%.2f s", took.Seconds())})
	c.t.Logf("%s: %v", what, took)
}

// heal ends a fault after 10 s, in which the counts of these servers change. It records the
// time from the end of the fault.
func (c *faultCluster) heal(what string, begun time.Time, end func(), servers ...*process) {
	c.t.Helper()
	changeCounts(c.t, 10*time.Second-time.Since(begun), servers...)
	healed := time.Now()
	end()
	c.record(what, "2.5 s", c.waitCorrect(healed))
}

// restart starts a process that was killed or has exited, with n clients.
func (c *faultCluster) restart(p *process, n int) {
	c.t.Helper()
	p.start()
	p.connect("lobby", n)
	c.waitCorrect(time.Now())
}

func testFaults(t *testing.T, add func(*faultCluster)) {
	c := &faultCluster{fleet: newFleet(t)}
	add(c)
	near, far1, far2 := c.near, c.far1, c.far2
	for _, p := range c.servers {
		p.start()
		p.connect("lobby", 5)
		p.connect(p.name, 2)
	}
	c.waitCorrect(time.Now())

	killed := time.Now()
	far2.kill()
	c.record("kill -9 of a node until its counts are removed", "6.5 s", c.waitCorrect(killed))
	c.restart(far2, 5)

	// Fewer clients reconnect than before, so the final counts are new.
	killed = time.Now()
	far1.kill()
	far1.start()
	far1.connect("lobby", 2)
	c.record("kill -9 and restart under the same name, from the kill", "2 s", c.waitCorrect(killed))

	stopped := time.Now()
	far2.signal(syscall.SIGTERM)
	far2.waitExited()
	c.record("SIGTERM, from the signal", "0.1 s", c.waitCorrect(stopped))
	require.Contains(t, far2.output.String(), "stopped\n")
	c.restart(far2, 4)

	if !*allFaults {
		c.requireStable()
		return
	}
	c.rows = append(c.rows, measureDelay(c.fleet, near, far2))

	far1.signal(syscall.SIGSTOP)
	c.heal("10 s SIGSTOP of a node, from SIGCONT", time.Now(), func() { far1.signal(syscall.SIGCONT) }, c.right, near, far2)

	begun := time.Now()
	c.toServer.mute()
	c.record("no message from a node arrives: until this node is degraded", "5 s", c.waitDegraded(begun, near))
	c.heal("the same for 10 s, from its end", begun, c.toServer.restore, c.left, c.right, far1, far2)

	begun = time.Now()
	for _, l := range c.split {
		l.cut()
	}
	c.record("network split of 2 and 3 nodes: until all nodes are degraded", "6 s", c.waitDegraded(begun, c.servers...))
	c.heal("10 s network split of 2 and 3 nodes, from its end", begun, func() {
		for _, l := range c.split {
			l.restore()
		}
	}, c.servers...)

	c.breakServer()

	killed = time.Now()
	for _, p := range []*process{near, far1, far2} {
		p.kill()
	}
	c.record("kill -9 of 3 of 5 nodes at once, until their counts are removed", "21.5 s", c.waitCorrect(killed))
	c.requireStable()
	fmt.Print(table(c.rows))
}

// Five chat servers are restarted one after another. The clients of the stopped server connect
// to another server, and return when the restarted server responds. No count, and no first
// count of a new connection, is wrong by more than the number of these clients.
func TestRollingDeploy_NoPartialCounts(t *testing.T) {
	const nodes, clients = 5, 12 // clients of each server
	restarts := nodes
	if *allFaults {
		restarts = 100
	}
	f := newFleet(t)
	server := freeAddress(t)
	f.add("seed", "-cluster", "-cluster-listen", freeAddress(t), "-cluster-client", server).start()
	chats := make([]*process, nodes)
	for i := range chats {
		chats[i] = f.add(fmt.Sprint("chat-", i), "-nats", server)
		chats[i].start()
		chats[i].connect("lobby", clients)
	}
	f.waitCorrect(time.Now())
	f.takeRange()
	for i := range restarts {
		p, other := chats[i%nodes], chats[(i+1)%nodes]
		p.signal(syscall.SIGTERM)
		p.waitExited()
		other.connect("lobby", clients)
		p.start()
		for range clients {
			other.disconnectLast()
		}
		p.connect("lobby", clients)
		f.waitCorrect(time.Now())
		least, most := f.takeRange()
		require.GreaterOrEqual(t, least, (nodes-1)*clients, "restart %d", i)
		require.LessOrEqual(t, most, (nodes+1)*clients, "restart %d", i)
	}
}

// waitDegraded waits until the processes are degraded. It returns the time since begun.
func (f *fleet) waitDegraded(begun time.Time, processes ...*process) time.Duration {
	f.t.Helper()
	for _, p := range processes {
		f.waitUntil("the nodes are degraded", func() error {
			h, err := p.health()
			if err == nil && !h.Degraded {
				err = fmt.Errorf("%s is not degraded: %s", p.name, marshal(h))
			}
			return err
		})
	}
	return time.Since(begun)
}

// row is one row of the printed table.
type row struct{ what, target, measured string }

func table(rows []row) string {
	s := "| what | target | measured |\n|---|--:|--:|\n"
	for _, r := range rows {
		s += fmt.Sprintf("| %s | %s | %s |\n", r.what, r.target, r.measured)
	}
	return s
}

// changeCounts connects and disconnects clients of the servers for the duration d.
func changeCounts(t *testing.T, d time.Duration, servers ...*process) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(rand.N(100 * time.Millisecond)) {
		p := servers[rand.IntN(len(servers))]
		if len(p.clients) > 6 {
			p.disconnectLast()
		} else {
			p.connect("lobby", 1+rand.IntN(2))
		}
	}
}

// measureDelay measures the time from a change on one server until a client of another
// server receives the change.
func measureDelay(f *fleet, from, to *process) row {
	f.t.Helper()
	actor, observer := from.clients[0], to.clients[0]
	var took []time.Duration
	for range 100 {
		time.Sleep(rand.N(500 * time.Millisecond)) // so that the changes are at any time between two flushes
		began := time.Now()
		if actor.present {
			actor.exit(f.t)
		} else {
			actor.enter(f.t)
		}
		want := sum(f.runningServers())[actor.room]
		var at time.Time
		f.waitUntil("the client receives the change", func() error {
			var received occupancy.Occupancy
			if received, at = observer.last(); received != want {
				return fmt.Errorf("received %v, want %v", received, want)
			}
			return nil
		})
		took = append(took, at.Sub(began))
	}
	slices.Sort(took)
	return row{
		"change on one node until a websocket on another receives it, idle: p50, p99", "p99 210 ms",
		fmt.Sprintf("%.0f ms, %.0f ms", took[50].Seconds()*1e3, took[98].Seconds()*1e3),
	}
}

// requireStable checks that the counts stay correct and no client receives another event.
// The check takes longer than all timeouts of the cluster.
func (f *fleet) requireStable() {
	f.t.Helper()
	f.waitCorrect(time.Now())
	began := time.Now()
	time.Sleep(7 * time.Second)
	require.Zero(f.t, f.waitCorrect(began))
}
