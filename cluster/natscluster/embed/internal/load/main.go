//go:build unix

// Load measures what many nodes and a NATS server cost one another. It starts a server
// in a process of its own and the nodes in this one, each with an engine and a
// connection; changes rooms at all of them at a steady rate, whatever that does to them;
// and prints a table in Markdown, beside the targets:
//
//   - what of a core the server takes, its memory and what goes through it;
//   - beside it a floor: what of a core a bare process takes that makes the same
//     deliveries, each by one write, and does nothing else; and what it would take if
//     each node's were gathered for the time of a flush;
//   - bytes and messages into each node;
//   - how long a change takes from its hook at one node to its event at another, seen by
//     probes: rooms of which each changes at one node and is subscribed to at one other;
//   - whether every node knows every room exactly in the end, and how soon.
//
// With -idle it is two nodes and nothing but probes:
//
//	go run ./load -idle
//	go run ./load -nodes 100 -changes 10000
//
// It exits with 1 if a node's counts are not exact in the end. The nodes share this
// process and the machine with the server, so where the cores are busy the times are
// those of waiting for one. What comes while the server writes or waits for a core it
// gathers, so it writes less often than there are messages. The floors are measured
// after the nodes have ended.
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
	nodes    int
	changes  int // a second, at all nodes together, without the probes'
	rooms    int
	probes   int // changes a second, at each node
	flush    time.Duration
	duration time.Duration
	profiles string
}

func main() {
	asked()
	var c config
	flag.IntVar(&c.nodes, "nodes", 100, "how many nodes")
	flag.IntVar(&c.changes, "changes", 10_000, "changes of rooms a second, at all nodes together")
	flag.IntVar(&c.rooms, "rooms", 500, "how many rooms, that all nodes share; of many, no two changes of one are told as one")
	flag.IntVar(&c.probes, "probes", 1, "changes a second, at each node, whose way is timed")
	flag.DurationVar(&c.flush, "flush", 200*time.Millisecond, "how long a node gathers changes before it tells them")
	flag.DurationVar(&c.duration, "duration", 30*time.Second, "how long to measure, once every node has been at every room or as long has passed; each floor a third of it")
	flag.StringVar(&c.profiles, "profiles", "", "a directory for CPU profiles: nodes.pprof and server.pprof")
	idle := flag.Bool("idle", false, "two nodes and nothing but 10 probes a second together")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Load prints a table of what nodes with changing rooms cost and how fast they are: the server's CPU and\n"+
			"memory, bytes and messages into each node, p50 and p99 of change → event at another node, and whether\n"+
			"all counts are exact in the end. Beside the server's CPU is a floor: that of a bare process that makes\n"+
			"the same deliveries to as many connections, one write each, and nothing else.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "load: what is %q? There are only flags.\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if *idle {
		c.nodes, c.changes, c.probes = 2, 0, 5
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
	case c.nodes < 2:
		return errors.New("there must be 2 nodes at least")
	case c.rooms < 1, c.changes < 0, c.probes < 1, c.flush <= 0, c.duration <= 0:
		return errors.New("there must be rooms, probes, a flush, and time to measure")
	case time.Second/time.Duration(c.probes) <= interval:
		return fmt.Errorf("a node can make less than %d probes a second", time.Second/interval)
	}
	return nil
}
