//go:build linux

// Load measures the cost of many nodes on one server: a NATS server, or redis-server. It runs
// the server in a separate process and the nodes in this process. Each node has its own
// engine and connection. Load changes rooms on all nodes at a constant rate. It prints a
// Markdown table of measured values and targets:
//
//   - CPU, memory and traffic of the server;
//   - the CPU of two baselines. A baseline is a process that only writes the same data as
//     the server to the same number of connections. The first baseline writes each message
//     separately. The second baseline writes once per flush to each connection;
//   - bytes and messages that each node receives;
//   - the time from a change on one node to the event on another node. Probes measure this
//     time. A probe is a room that one node changes and one other node subscribes to;
//   - whether every node has exact counts at the end, and how long this took.
//
// With -idle, there are two nodes, and only the rooms of the probes change. With
// -mode aggregators, the nodes exchange counts through aggregators, and the last node is an
// observer, which receives all rooms:
//
//	go run ./internal/bench/cmd/load -idle
//	go run ./internal/bench/cmd/load -bus redis -nodes 100 -changes 10000
//	go run ./internal/bench/cmd/load -mode aggregators -nodes 100 -changes 10000
//
// The exit code is 1 if the counts of a node are not exact at the end.
//
// The nodes and the server run on the same machine. If all cores are busy, the nodes and
// the server wait for a core, and the measured times include this wait. During the wait,
// messages arrive, and the server then writes several messages at once. The baselines are
// measured after the nodes and the server have stopped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type config struct {
	bus             string // a key of brokers
	mode            string
	nodes           int
	aggregators     int
	changes         int // per second, of all nodes together, without the changes of the probes
	rooms           int
	probesPerSecond int // per node
	flush           time.Duration
	duration        time.Duration
	profile         string
}

// The modes: see WithSharding of package cluster.
const (
	mesh        = "mesh"
	aggregators = "aggregators"
)

func main() {
	runChild()
	var c config
	flag.StringVar(&c.bus, "bus", "nats", "the `kind` of the server: nats or redis")
	flag.StringVar(&c.mode, "mode", mesh, "mesh: each node exchanges counts with all other nodes; or aggregators: with the aggregators")
	flag.IntVar(&c.nodes, "nodes", 100, "number of nodes")
	flag.IntVar(&c.aggregators, "aggregators", 3, "with the mode aggregators: number of nodes whose process is also an aggregator")
	flag.IntVar(&c.changes, "changes", 10_000, "changes per second, of all nodes together")
	flag.IntVar(&c.rooms, "rooms", 500, "number of rooms, which all nodes use. If there are too few rooms, several changes of a room are published as one")
	flag.IntVar(&c.probesPerSecond, "probes", 1, "number of latency measurements per second on each node")
	flag.DurationVar(&c.flush, "flush", 200*time.Millisecond, "how long a node collects changes before it publishes them")
	flag.DurationVar(&c.duration, "duration", 30*time.Second, "duration of the measurement of the nodes. The warm-up takes at most the same time, and the measurement of each baseline a third of this time")
	flag.StringVar(&c.profile, "profile", "", "`file` for a CPU profile of the nodes")
	idle := flag.Bool("idle", false, "run two nodes, which make only the changes of the probes: 10 per second in total")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Load measures the cost of many nodes on one server and prints a Markdown table: CPU and memory of\n"+
			"the server, bytes and messages received by each node, the time from a change to the event on another\n"+
			"node, and whether all counts are exact at the end. For comparison, it also measures baselines: processes\n"+
			"that only write the same data to the same number of connections.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "load: unexpected argument %q: only flags are accepted\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if *idle {
		c.nodes, c.changes, c.probesPerSecond = 2, 0, 5
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	r, err := run(ctx, c)
	if r != nil {
		r.print(os.Stdout)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (c config) validate() error {
	switch {
	case brokers[c.bus].start == nil:
		return fmt.Errorf("-bus is %q, must be nats or redis", c.bus)
	case c.mode != mesh && c.mode != aggregators:
		return fmt.Errorf("-mode is %q, must be mesh or aggregators", c.mode)
	case c.nodes < 2:
		return errors.New("-nodes must be at least 2")
	case c.mode == aggregators && (c.aggregators < 1 || c.aggregators >= c.nodes):
		return errors.New("-aggregators must be at least 1, and less than -nodes")
	case c.rooms < 1, c.changes < 0, c.probesPerSecond < 1, c.flush <= 0, c.duration <= 0:
		return errors.New("-rooms, -probes, -flush and -duration must be positive, and -changes not negative")
	case time.Second/time.Duration(c.probesPerSecond) <= interval:
		return fmt.Errorf("-probes is too high: it must be less than %d", time.Second/interval)
	}
	return nil
}
