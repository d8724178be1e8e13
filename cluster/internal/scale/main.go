// Scale measures the protocol of package cluster with a thousand nodes. All nodes run in one
// goroutine, in virtual time: each is a real core.Machine, and they exchange encoded messages over a
// simulated network without faults.
//
// All nodes start and synchronize. Then the connections move between rooms at a constant rate,
// for the measured duration. Scale prints Markdown tables:
//
//   - messages and bytes by kind, in all and into one node;
//   - the staleness: the time from a change on one node until the state machine of another
//     interested node has applied it. Probes measure it. A probe is a room in which one node
//     counts, and in which one other node is only interested;
//   - the memory of each node, and the time that its state machine needs;
//   - next to it the same for all-to-all, computed from the same changes.
//
// At the end the changes stop, and scale waits until every node has the exact counts of all its
// rooms. The exit code is 1 if a node has not. Run it in the directory of this module:
//
//	go run ./internal/scale
//	go run ./internal/scale -mode mesh -nodes 100
//
// The network is instantaneous except for a constant delay, and calls of the state machine take
// no virtual time. So a real cluster has the same messages and bytes. Its staleness is longer by the
// time of the calls, which the report contains, and of the bus.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

type config struct {
	mode        string
	nodes       int
	aggregators int
	rooms       int
	connections int
	changes     int // per second, of all nodes together
	probes      int // per second, of all nodes together; part of changes
	users       bool
	zipf        float64
	flush       time.Duration
	delay       time.Duration
	skew        time.Duration
	duration    time.Duration
	lose        int
	seed        uint64
}

func main() {
	var c config
	flag.StringVar(&c.mode, "mode", "aggregators", "aggregators, or mesh: all-to-all, in which each node keeps all rooms (use fewer nodes)")
	flag.IntVar(&c.nodes, "nodes", 1000, "number of nodes that have connections")
	flag.IntVar(&c.aggregators, "aggregators", 5, "number of aggregators")
	flag.IntVar(&c.rooms, "rooms", 1_000_000, "number of rooms")
	flag.IntVar(&c.connections, "connections", 1_000_000, "number of connections, each of which is a member of one room")
	flag.IntVar(&c.changes, "changes", 10_000, "changes of rooms per second, of all nodes together")
	flag.IntVar(&c.probes, "probes", 1000, "how many of these changes measure the staleness")
	flag.BoolVar(&c.users, "users", false, "each connection is a different user, whose hash is published")
	flag.Float64Var(&c.zipf, "zipf", 0.9, "the popularity of the k-th room is proportional to k to the power of minus this number")
	flag.DurationVar(&c.flush, "flush", 200*time.Millisecond, "how long a node collects changes before it publishes them")
	flag.DurationVar(&c.delay, "delay", time.Millisecond, "mean delay of a message")
	flag.DurationVar(&c.skew, "skew", 10*time.Millisecond, "maximum difference of the clocks of two nodes")
	flag.DurationVar(&c.duration, "duration", 10*time.Second, "virtual duration of the measurement")
	flag.IntVar(&c.lose, "lose", 0, "number of aggregators that crash after half of this duration")
	flag.Uint64Var(&c.seed, "seed", 1, "seed of the random numbers")
	flag.Parse()
	if err := c.validate(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	}
	r, err := run(c)
	if r != nil {
		r.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func (c config) validate(args []string) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("unexpected argument %q: only flags are accepted", args[0])
	case c.mode != "aggregators" && c.mode != "mesh":
		return fmt.Errorf("-mode must be aggregators or mesh: %q", c.mode)
	case c.nodes < 2 || c.aggregators < 1:
		return errors.New("-nodes must be at least 2, and -aggregators at least 1")
	case c.lose < 0 || c.lose >= c.aggregators || c.lose > 0 && c.mode == "mesh":
		return errors.New("-lose must be less than -aggregators, and requires the mode aggregators")
	case c.rooms < 1 || c.connections < c.nodes:
		return errors.New("-rooms must be positive, and -connections at least the number of nodes")
	case c.probes < 1 || c.changes <= c.probes:
		return errors.New("-probes must be positive and less than -changes")
	case c.flush < time.Millisecond || c.duration < c.flush || c.delay <= 0 || c.skew <= 0:
		return errors.New("-flush must be at least 1ms, -duration at least -flush, and -delay and -skew positive")
	}
	return nil
}
