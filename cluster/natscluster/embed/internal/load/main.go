//go:build unix

// Load measures the cost of many nodes on one NATS server. It runs the server in a
// process of its own and the nodes in this process, each with its own engine and
// connection. It changes rooms on all nodes at a constant rate and prints a Markdown table
// with the targets:
//
//   - CPU, memory and traffic of the server;
//   - two floors: the CPU of a process that only writes the same messages, one write for
//     each, and of one that only writes the same bytes, one write for each node and flush;
//   - bytes and messages that each node receives;
//   - the time from a change on one node to the event on another, measured by probes: rooms
//     that one node changes and one other node subscribes to;
//   - whether every node has exact counts at the end, and after what time.
//
// With -idle there are two nodes, and only the probes change. From this module's directory:
//
//	go run ./internal/load -idle
//	go run ./internal/load -nodes 100 -changes 10000
//
// The exit code is 1 if the counts of a node are not exact at the end.
//
// The nodes and the server share the machine. When all cores are busy, the times include
// waiting for a core, and the server writes less often than it receives messages, because
// it collects the messages that arrive while it waits. The floors are measured after the
// nodes and the server have stopped.
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
	nodes           int
	changes         int // per second, of all nodes together, without the probes
	rooms           int
	probesPerSecond int // per node
	flush           time.Duration
	duration        time.Duration
	profiles        string
}

func main() {
	runChild()
	var c config
	flag.IntVar(&c.nodes, "nodes", 100, "number of nodes")
	flag.IntVar(&c.changes, "changes", 10_000, "changes per second, of all nodes together")
	flag.IntVar(&c.rooms, "rooms", 500, "number of rooms, which all nodes share. With too few rooms, several changes of a room become one")
	flag.IntVar(&c.probesPerSecond, "probes", 1, "changes per second and node whose latency is measured")
	flag.DurationVar(&c.flush, "flush", 200*time.Millisecond, "how long a node collects changes before it publishes them")
	flag.DurationVar(&c.duration, "duration", 30*time.Second, "duration of the measurement. The warm-up before it is as long at most, and each floor takes a third of it")
	flag.StringVar(&c.profiles, "profiles", "", "`directory` for the CPU profiles nodes.pprof and server.pprof")
	idle := flag.Bool("idle", false, "two nodes without changes except 10 probes per second in all")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Load measures the cost of many nodes on one NATS server and prints a Markdown table: CPU and memory of\n"+
			"the server, bytes and messages received by each node, the time from a change to the event on another\n"+
			"node, and whether all counts are exact at the end. For comparison, a floor is the CPU of a process that\n"+
			"only writes the same messages to the same number of connections.")
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
	case c.nodes < 2:
		return errors.New("-nodes must be at least 2")
	case c.rooms < 1, c.changes < 0, c.probesPerSecond < 1, c.flush <= 0, c.duration <= 0:
		return errors.New("-rooms, -probes, -flush and -duration must be positive, and -changes not negative")
	case time.Second/time.Duration(c.probesPerSecond) <= interval:
		return fmt.Errorf("-probes is too high: it must be less than %d", time.Second/interval)
	}
	return nil
}
