package verify

import (
	"context"
	"time"

	"github.com/occupancy/occupancy"
)

// target is the engine whose calls are recorded, or one with a fault.
type target interface {
	room(name string, handle bool) room
	Close() error
}

// room is one room, by its name or by a handle.
type room interface {
	Join() error
	Leave() error
	Enter(client string) error
	Exit(client string) error
	Current() occupancy.Occupancy
	Local() occupancy.Occupancy
	Get(context.Context) (occupancy.Occupancy, error)
	Connect(options) (lease, error)
	Subscribe() (*occupancy.Subscription, error)
}

// options are the options of Connect.
type options struct {
	as   []string
	most int // the argument of Max, or noMax
}

const noMax = -1

func (o options) list() (opts []occupancy.ConnectOption) {
	for _, id := range o.as {
		opts = append(opts, occupancy.As(id))
	}
	if o.most != noMax {
		opts = append(opts, occupancy.Max(o.most))
	}
	return opts
}

type lease interface {
	Enter(client string) error
	Exit(client string) error
	Close() error
	Linger(d time.Duration)
}

// engine is the real engine as a target.
type engine struct {
	*occupancy.Engine
	handles map[string]*occupancy.Room
}

func newEngine(names []string, opts ...occupancy.Option) *engine {
	e := &engine{occupancy.New(opts...), map[string]*occupancy.Room{}}
	for _, name := range names {
		e.handles[name] = e.Room(name)
	}
	return e
}

func (e *engine) room(name string, handle bool) room {
	if handle {
		return byHandle{e.handles[name]}
	}
	return byName{e.Engine, name}
}

type byName struct {
	e    *occupancy.Engine
	name string
}

func (r byName) Join() error                  { return r.e.Join(r.name) }
func (r byName) Leave() error                 { return r.e.Leave(r.name) }
func (r byName) Enter(client string) error    { return r.e.Enter(r.name, client) }
func (r byName) Exit(client string) error     { return r.e.Exit(r.name, client) }
func (r byName) Current() occupancy.Occupancy { return r.e.Current(r.name) }
func (r byName) Local() occupancy.Occupancy   { return r.e.Local(r.name) }
func (r byName) Get(ctx context.Context) (occupancy.Occupancy, error) {
	return r.e.Get(ctx, r.name)
}
func (r byName) Connect(o options) (lease, error) {
	return connected(r.e.Connect(r.name, o.list()...))
}
func (r byName) Subscribe() (*occupancy.Subscription, error) { return r.e.Subscribe(r.name) }

type byHandle struct{ *occupancy.Room }

func (r byHandle) Connect(o options) (lease, error) {
	return connected(r.Room.Connect(o.list()...))
}

// connected returns a nil interface for a nil *Lease.
func connected(c *occupancy.Lease, err error) (lease, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}
