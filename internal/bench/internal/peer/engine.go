package peer

import "github.com/occupancy/occupancy"

// engine is this project's, by its hooks, which take the room's name alone.
type engine struct{ *occupancy.Engine }

func newEngine() Peer { return engine{occupancy.New()} }

func newEagerEngine() Teller { return engine{occupancy.New(occupancy.WithInterval(0))} }

func (e engine) Join(room string, _ *Conn)  { must(e.Engine.Join(room)) }
func (e engine) Leave(room string, _ *Conn) { must(e.Engine.Leave(room)) }
func (e engine) Count(room string) int      { return e.Current(room).Connections }
func (e engine) Close()                     { must(e.Engine.Close()) }
func (e engine) Told() uint64               { return e.Stats().Delivered }

// Subscribe gives what comes after the snapshot.
func (e engine) Subscribe(room string) Subscription {
	s, err := e.Engine.Subscribe(room)
	must(err)
	<-s.Events()
	return feed[occupancy.Event]{s.Events(), func(e occupancy.Event) int { return e.Occupancy.Connections }}
}

// leases is the engine by Connect, which a server should prefer.
type leases struct{ engine }

func newLeases() Peer { return leases{engine{occupancy.New()}} }

func (l leases) Join(room string, c *Conn) {
	lease, err := l.Connect(room)
	must(err)
	c.lease = lease
}

func (l leases) Leave(_ string, c *Conn) { must(c.lease.Close()) }

// must is for what no correct peer refuses here.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
