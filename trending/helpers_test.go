package trending_test

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

const interval = 100 * time.Millisecond

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// repeat calls the hook n times for the room.
func repeat(t testing.TB, n int, hook func(string) error, room string) {
	t.Helper()
	for range n {
		must(t, hook(room))
	}
}

func newEngine(t testing.TB, opts ...occupancy.Option) *occupancy.Engine {
	e := occupancy.New(opts...)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func newBoard(t testing.TB, e *occupancy.Engine, opts ...trending.Option) *trending.Board {
	b := trending.New(e, opts...)
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

// newRemote links the engine and returns a Remote for another node.
func newRemote(t testing.TB, e *occupancy.Engine) *occupancy.Remote {
	t.Helper()
	l, err := e.Link(nil)
	must(t, err)
	return l.Remote("other node")
}

// enter returns a function with which the client alice enters a room.
func enter(e *occupancy.Engine) func(string) error {
	return func(room string) error { return e.Enter(room, "alice") }
}

func exit(e *occupancy.Engine) func(string) error {
	return func(room string) error { return e.Exit(room, "alice") }
}

// names returns the names of the rooms, separated by spaces.
func names(rooms []trending.Room) string {
	list := make([]string, len(rooms))
	for i, r := range rooms {
		list[i] = r.Name
	}
	return strings.Join(list, " ")
}

// model computes the lists that a board must return. It stores every arrival and sorts all
// rooms of the engine.
type model struct {
	prefix   string
	halfLife time.Duration
	last     map[string]int
	arrivals map[string][]arrival
}

type arrival struct {
	at time.Time
	n  int
}

func newModel(e *occupancy.Engine, prefix string, halfLife time.Duration) *model {
	m := &model{prefix, halfLife, map[string]int{}, map[string][]arrival{}}
	for room, o := range e.All() {
		m.last[room] = o.Connections
	}
	return m
}

// update must be called after each change.
func (m *model) update(room string, o occupancy.Occupancy) {
	if n := o.Connections - m.last[room]; n > 0 {
		m.arrivals[room] = append(m.arrivals[room], arrival{time.Now(), n})
	}
	m.last[room] = o.Connections
	if o == (occupancy.Occupancy{}) {
		delete(m.last, room)
		delete(m.arrivals, room)
	}
}

func (m *model) heat(room string) (heat float64) {
	for _, a := range m.arrivals[room] {
		heat += float64(a.n) * math.Exp2(-float64(time.Since(a.at))/float64(m.halfLife))
	}
	return heat
}

// lists returns all rooms in both orders.
func (m *model) lists(e *occupancy.Engine) (popular, hot []trending.Room) {
	popular = []trending.Room{}
	for room, o := range e.All() {
		if strings.HasPrefix(room, m.prefix) {
			popular = append(popular, trending.Room{Name: room, Occupancy: o, Heat: m.heat(room)})
		}
	}
	hot = slices.Clone(popular)
	slices.SortFunc(popular, func(a, b trending.Room) int {
		return cmp.Or(cmp.Compare(b.Occupancy.Connections, a.Occupancy.Connections), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(hot, func(a, b trending.Room) int {
		return cmp.Or(cmp.Compare(b.Heat, a.Heat), cmp.Compare(a.Name, b.Name))
	})
	return popular, hot
}

// wantEqual fails unless the lists are equal and the heats agree to nine digits.
func wantEqual(t testing.TB, what string, got, want []trending.Room) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rooms, want %d", what, len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.Name != w.Name || g.Occupancy != w.Occupancy || math.Abs(g.Heat-w.Heat) > 1e-9*w.Heat {
			t.Fatalf("%s: place %d is %+v, want %+v", what, i+1, g, w)
		}
	}
}
