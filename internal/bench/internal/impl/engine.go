package impl

import (
	"context"

	"github.com/occupancy/occupancy"
)

// engine is this project's engine, called with room names.
type engine struct{ *occupancy.Engine }

func newEngine() Counter { return engine{occupancy.New()} }

func newImmediateEngine() Notifier { return engine{occupancy.New(occupancy.WithInterval(0))} }

func (e engine) Join(room string, _ *Conn)  { must(e.Engine.Join(room)) }
func (e engine) Leave(room string, _ *Conn) { must(e.Engine.Leave(room)) }
func (e engine) Count(room string) int      { return e.Current(room).Connections }
func (e engine) Close()                     { must(e.Engine.Close()) }
func (e engine) Delivered() uint64          { return e.Stats().Delivered }

// Subscribe returns a subscription without the first event, which is the snapshot.
func (e engine) Subscribe(room string) Subscription {
	s, err := e.Engine.Subscribe(room)
	must(err)
	<-s.Events()
	return subscription[occupancy.Event]{s.Events(), func(e occupancy.Event) int { return e.Occupancy.Connections }}
}

func (e engine) Watch(f func(room string, count int)) {
	w, err := e.Engine.Watch()
	must(err)
	go func() {
		for {
			events, err := w.Next(context.Background())
			if err != nil {
				return // the engine is closed
			}
			for _, event := range events {
				f(event.Room, event.Occupancy.Connections)
			}
		}
	}()
}

// leaseEngine is the engine, called with leases.
type leaseEngine struct{ engine }

func newLeaseEngine() Counter { return leaseEngine{engine{occupancy.New()}} }

func (e leaseEngine) Join(room string, c *Conn) {
	lease, err := e.Connect(room)
	must(err)
	c.lease = lease
}

func (e leaseEngine) Leave(_ string, c *Conn) { must(c.lease.Close()) }

// must panics on an error. The implementations return no errors for valid calls.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
