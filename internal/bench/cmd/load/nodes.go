//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
)

// timeout limits each step of starting and stopping.
const timeout = 30 * time.Second

// node is a node with its own engine and connection, like a node in a separate process.
type node struct {
	*cluster.Node
	eng *occupancy.Engine
	bus cluster.Bus
}

type nodes []node

// startNodes returns when every node knows all others.
func startNodes(ctx context.Context, address string, c config) (all nodes, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(err, all.close())
		}
	}()
	for i := range c.nodes {
		bus, err := brokers[c.bus].connect(ctx, address)
		if err != nil {
			return all, err
		}
		eng := occupancy.New()
		opts := []cluster.Option{cluster.WithName(fmt.Sprint("node-", i)), cluster.WithFlush(c.flush)}
		switch {
		case c.mode == mesh:
		case i < c.aggregators:
			opts = append(opts, cluster.WithAggregator())
		case i == c.nodes-1:
			opts = append(opts, cluster.WithEverything())
		default:
			opts = append(opts, cluster.WithSharding())
		}
		started, err := cluster.Start(ctx, eng, bus, opts...)
		if err != nil {
			return all, errors.Join(err, bus.Close(ctx), eng.Close())
		}
		all = append(all, node{started, eng, bus})
	}
	return all, await(ctx, "every node knows all others", all.complete)
}

func (all nodes) complete() bool {
	for _, n := range all {
		if h := n.Health(); h.Degraded || h.Nodes != len(all) {
			return false
		}
	}
	return true
}

// sources returns the nodes, and the aggregators in their processes.
func (all nodes) sources() (nodes, aggregators []source) {
	for _, n := range all {
		nodes = append(nodes, n)
		if a := n.Aggregator(); a != nil {
			aggregators = append(aggregators, a)
		}
	}
	return nodes, aggregators
}

func (all nodes) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var errs []error
	for _, n := range all {
		errs = append(errs, n.Close(), n.bus.Close(ctx), n.eng.Close())
	}
	return errors.Join(errs...)
}

// await waits until the condition is true.
func await(ctx context.Context, condition string, isTrue func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !isTrue() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", condition, context.Cause(ctx))
		}
	}
	return nil
}
