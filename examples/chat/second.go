package main

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// secondNode is a second chat server of the cluster, in this process. Half of the bots connect to
// it. In the scene lostNode it stops like a process that is killed, and starts again later.
type secondNode struct {
	cluster  clusterFlags
	addr     string
	log      *slog.Logger
	downtime time.Duration
	lose     chan struct{} // receives a value when the node must fail
	lost     atomic.Bool
}

// newSecondNode returns a second node, which joins the cluster of the first node. It returns nil if
// the first node does not let other nodes connect.
func newSecondNode(cluster clusterFlags, first *clusterNode, log *slog.Logger) (*secondNode, error) {
	if first == nil || first.bus.seed == nil || first.bus.seed.ClientURL() == "" {
		return nil, nil
	}
	joining := clusterFlags{servers: first.bus.seed.ClientURL(), prefix: cluster.prefix, token: cluster.token}
	joining.name = first.node.Health().Name + "-2" // unlike the port, the same after a restart
	ln, err := net.Listen("tcp", "127.0.0.1:0")    // selects a free port
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	return &secondNode{cluster: joining, addr: addr, log: log, downtime: sceneTime, lose: make(chan struct{})}, ln.Close()
}

// run runs the node until ctx is done.
func (n *secondNode) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.serveUntilLost(ctx); err != nil {
			n.log.Error("the second node has stopped", "error", err)
			return
		}
		sleep(ctx, n.downtime)
		n.lost.Store(false)
	}
}

func (n *secondNode) serveUntilLost(ctx context.Context) error {
	ln, err := net.Listen("tcp", n.addr)
	if err != nil {
		return err
	}
	s := newServer(defaultLimits)
	if s.node, err = n.cluster.join(ctx, s, ln.Addr(), n.log); err != nil {
		_, _ = ln.Close(), s.close()
		return err
	}
	serveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- s.serve(serveCtx, ln) }()
	select {
	case <-n.lose:
		n.lost.Store(true)
		_ = closeBus(s.node.bus) // first: then the other nodes receive no message that this node stops
	case <-ctx.Done():
	}
	stop()
	return <-served
}

// fail makes the node fail, unless it has failed already.
func (n *secondNode) fail() {
	select {
	case n.lose <- struct{}{}:
	default:
	}
}
