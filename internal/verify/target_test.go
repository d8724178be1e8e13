package verify

import (
	"context"

	"github.com/occupancy/occupancy"
)

// target is what histories are recorded of: the engine, or one with a fault.
type target interface {
	room(name string, handle bool) verbs
	Close() error
}

// verbs is one room, by its name or by a handle.
type verbs interface {
	Join() error
	Leave() error
	Enter() error
	Exit() error
	Current() occupancy.Occupancy
	Local() occupancy.Occupancy
	Get(context.Context) (occupancy.Occupancy, error)
	Connect() (lease, error)
	Subscribe() (*occupancy.Subscription, error)
}

type lease interface {
	Enter(client string) error
	Exit(client string) error
	Close() error
}

// engine is the real one as a target.
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

func (e *engine) room(name string, handle bool) verbs {
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
func (r byName) Enter() error                 { return r.e.Enter(r.name) }
func (r byName) Exit() error                  { return r.e.Exit(r.name) }
func (r byName) Current() occupancy.Occupancy { return r.e.Current(r.name) }
func (r byName) Local() occupancy.Occupancy   { return r.e.Local(r.name) }
func (r byName) Get(ctx context.Context) (occupancy.Occupancy, error) {
	return r.e.Get(ctx, r.name)
}
func (r byName) Connect() (lease, error)                     { return connected(r.e.Connect(r.name)) }
func (r byName) Subscribe() (*occupancy.Subscription, error) { return r.e.Subscribe(r.name) }

type byHandle struct{ *occupancy.Room }

func (r byHandle) Connect() (lease, error) { return connected(r.Room.Connect()) }

// connected keeps a nil *Conn from becoming a lease that is not nil.
func connected(c *occupancy.Conn, err error) (lease, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}
