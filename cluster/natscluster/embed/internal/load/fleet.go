//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// patience is how long something that must happen may take.
const patience = 30 * time.Second

// member is a node with all that a process of its own would have.
type member struct {
	eng  *occupancy.Engine
	bus  *natscluster.Bus
	node *cluster.Node
}

type fleet []member

// startFleet returns when each of them knows all others.
func startFleet(ctx context.Context, url string, nodes int, flush time.Duration) (f fleet, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	for i := range nodes {
		bus, err := natscluster.Connect(ctx, url)
		if err != nil {
			return f, err
		}
		m := member{eng: occupancy.New(), bus: bus}
		m.node, err = cluster.Start(ctx, m.eng, bus, cluster.WithName(fmt.Sprint("node-", i)), cluster.WithFlush(flush))
		if err != nil {
			return f, errors.Join(err, bus.Close(ctx), m.eng.Close())
		}
		f = append(f, m)
	}
	return f, until(ctx, "every node knows every other", f.linked)
}

func (f fleet) linked() bool {
	for _, m := range f {
		if h := m.node.Health(); h.Degraded || len(h.Peers) != len(f)-1 {
			return false
		}
	}
	return true
}

// close ends what there is of it.
func (f fleet) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for _, m := range f {
		errs = append(errs, m.node.Close(), m.bus.Close(ctx), m.eng.Close())
	}
	return errors.Join(errs...)
}

// until waits for a condition.
func until(ctx context.Context, what string, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	often := time.NewTicker(10 * time.Millisecond)
	defer often.Stop()
	for !is() {
		select {
		case <-often.C:
		case <-ctx.Done():
			return fmt.Errorf("not: %s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}
