package clustertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
)

// settleTimeout is longer than the time in which nodes with the default options agree again.
const settleTimeout = time.Minute

// maxLines is the maximum number of lines in the text of a failure.
const maxLines = 20

// Settle returns when all running nodes agree:
//   - each node knows all other running nodes, and no others;
//   - no node is Degraded for a reason other than a Missing peer;
//   - each node has the connections and members of the whole service, in each room in which it is
//     interested (see [cluster.Node.Interested]): the sums of the nodes' own counts;
//   - all nodes have the same number of users in each room, unless a node estimates it;
//   - no message except heartbeats is in transit, and the engines have published all
//     changes.
//
// Settle must be called in a bubble of [testing/synctest]. After a minute of virtual time, it
// fails the test and prints the differences between the nodes. During a partition the nodes
// cannot agree, so end it before the call. Settle takes at least one interval of the engines.
func (n *Network) Settle(t testing.TB) {
	t.Helper()
	interval := 10 * time.Millisecond
	for _, node := range n.running(t) {
		interval = max(interval, node.Engine.Interval())
	}
	agreed := false
	for start := time.Now(); ; time.Sleep(interval) {
		synctest.Wait()
		problems := n.problems(t)
		if len(problems) == 0 && agreed {
			return // the engines have published the last changes, because an interval has passed since then
		}
		agreed = len(problems) == 0
		if !agreed && time.Since(start) >= settleTimeout {
			t.Fatalf("the nodes do not agree after %v:%s", time.Since(start), lines(problems))
		}
	}
}

// Want fails the test unless all running nodes that are interested in the room have these counts
// of it (see [cluster.Node.Interested]): without [cluster.WithSharding], these are all nodes. It
// also fails if no node is interested. The text of the failure contains the counts of each node.
// The counts of other nodes arrive later, so call Settle first.
func (n *Network) Want(t testing.TB, room string, want occupancy.Occupancy) {
	t.Helper()
	var all []string
	differ, compared := false, false
	for _, node := range n.running(t) {
		if !node.Interested(room) {
			all = append(all, node.name+" is not interested in the room")
			continue
		}
		compared = true
		has := node.Engine.Current(room)
		differ = differ || has != want
		all = append(all, fmt.Sprintf("%s has %+v, its own part is %+v%s", node.name, has, node.Engine.Local(room), reasons(node.Health())))
	}
	if differ || !compared {
		t.Fatalf("room %q is not %+v on each node, %v after the network was created:%s", room, want, time.Since(n.start), lines(all))
	}
}

// running returns the nodes that are neither closed nor killed. A closed node has closed
// its subscriptions.
func (n *Network) running(t testing.TB) []*Node {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	nodes := slices.DeleteFunc(slices.Clone(n.nodes), func(node *Node) bool { return len(node.Bus.subs) == 0 })
	if len(nodes) == 0 {
		t.Fatalf("no node is running: call StartNode before")
	}
	return nodes
}

// problems returns why the running nodes do not agree.
func (n *Network) problems(t testing.TB) (all []string) {
	t.Helper()
	nodes := n.running(t)
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	rooms, estimated := map[string]bool{}, false
	for _, node := range nodes {
		all = append(all, node.problems(nodes)...)
		for _, p := range node.Health().Peers {
			estimated = estimated || p.Estimated > 0
		}
		for room := range node.Engine.All() {
			rooms[room] = true
		}
	}
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		var sum occupancy.Occupancy
		for _, node := range nodes {
			own := node.Engine.Local(room)
			sum.Connections += own.Connections
			sum.PresenceMembers += own.PresenceMembers
		}
		var first *Node
		for _, node := range nodes {
			if !node.Interested(room) {
				continue
			}
			if first == nil {
				first = node
			}
			has := node.Engine.Current(room)
			if has.Connections != sum.Connections || has.PresenceMembers != sum.PresenceMembers {
				add("%s has %+v in room %q, and the nodes' own parts are %+v", node.name, has, room, sum)
			}
			if !estimated && has.Users != first.Engine.Current(room).Users {
				add("%s has %d users in room %q, and %s has %d", node.name, has.Users, room, first.name, first.Engine.Current(room).Users)
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.delayed.heap {
		if d.m.Subject.Kind != cluster.KindHeartbeat {
			add("a %v from %s to %s is in transit", d.m.Subject.Kind, d.from.name, d.to.name)
		}
	}
	return all
}

// problems returns why the node does not agree with the running nodes, except about counts.
func (n *Node) problems(running []*Node) (all []string) {
	var live, others []string
	health := n.Health()
	for _, p := range health.Peers {
		if p.State == cluster.Live {
			live = append(live, p.Name)
		}
	}
	for _, other := range running {
		if other != n {
			others = append(others, other.name)
		}
	}
	if health.Sharded {
		if health.Nodes != len(running) {
			all = append(all, fmt.Sprintf("%s knows %d nodes, and %d are running", n.name, health.Nodes, len(running)))
		}
	} else if slices.Sort(others); !slices.Equal(live, others) {
		all = append(all, fmt.Sprintf("%s has the live peers %q, and the other running nodes are %q", n.name, live, others))
	}
	if slices.ContainsFunc(health.Reasons, func(r cluster.Reason) bool { return !strings.HasPrefix(r.Text, "missing: ") }) {
		all = append(all, n.name+reasons(health))
	}
	return all
}

// reasons returns why the node is degraded, as the end of a line.
func reasons(h cluster.Health) string {
	if !h.Degraded {
		return ""
	}
	var texts []string
	for _, r := range h.Reasons {
		texts = append(texts, r.Text)
	}
	return " (degraded: " + strings.Join(texts, "; ") + ")"
}

func lines(all []string) string {
	if more := len(all) - maxLines; more > 0 {
		all = append(all[:maxLines:maxLines], fmt.Sprintf("and %d more", more))
	}
	return "\n    " + strings.Join(all, "\n    ")
}
