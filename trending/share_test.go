package trending_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// nodes is a cluster of two nodes: each sets the other's part of a room, and then imports
// the other's changes.
type nodes struct {
	engines [2]*occupancy.Engine
	boards  [2]*trending.Board
	remotes [2]*occupancy.Remote
	rooms   map[string]bool // that were used
}

func newNodes(t *testing.T) *nodes {
	n := &nodes{rooms: map[string]bool{}}
	for i := range n.engines {
		n.engines[i] = newEngine(t)
		n.remotes[i] = newRemote(t, n.engines[i])
		n.boards[i] = newBoard(t, n.engines[i])
		n.boards[i].Changes()
	}
	return n
}

func (n *nodes) flush(t *testing.T) {
	settle()
	for i, e := range n.engines {
		for room := range n.rooms {
			must(t, n.remotes[1-i].Set(part(room, e.Local(room).Connections)))
		}
		n.boards[1-i].Import(n.boards[i].Changes())
	}
	settle()
}

// wantSame fails if the boards show different rooms or numbers. The changes of a node reach
// the other one within two intervals, so the numbers may differ by a part in thousand.
func wantSame(t *testing.T, a, b *trending.Board) {
	t.Helper()
	one, two := a.Popular(100), b.Popular(100)
	if !slices.EqualFunc(one, two, func(x, y trending.Room) bool {
		return x.Name == y.Name && x.Occupancy == y.Occupancy && math.Abs(x.Ratio-y.Ratio) <= 0.001*(0.25+y.Ratio)
	}) {
		t.Fatalf("one node shows\n%+v, the other\n%+v", one, two)
	}
}

func TestImport_AllNodesShowTheSameList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t)
		for room := range 20 { // no room becomes empty: a board may forget an empty room before another board does
			n.rooms[fmt.Sprint(room)] = true
			repeat(t, 20, n.engines[0].Join, fmt.Sprint(room))
		}
		r := rand.New(rand.NewPCG(1, 8))
		listed := 0
		for range 200 {
			for range 50 {
				hook := []func(*occupancy.Engine, string) error{(*occupancy.Engine).Join, (*occupancy.Engine).Join, (*occupancy.Engine).Leave}[r.IntN(3)]
				room := fmt.Sprint(int(20 * math.Sqrt(r.Float64())))
				_ = hook(n.engines[r.IntN(2)], room)
			}
			n.flush(t)
			wantSame(t, n.boards[0], n.boards[1])
			listed += len(n.boards[0].Trending(100))
			time.Sleep(time.Duration(r.IntN(60)) * time.Second)
		}
		if listed < 200 {
			t.Fatalf("%d rooms were trending in 200 lists", listed)
		}

		// A node that joins the cluster shows the same rooms.
		late := newEngine(t)
		other := newRemote(t, late)
		b := newBoard(t, late)
		for room, o := range n.engines[0].All() {
			must(t, other.Set(occupancy.Part{Room: room, Occupancy: o}))
		}
		b.Import(n.boards[0].History())
		settle()
		wantSame(t, b, n.boards[0])
	})
}

func TestImport_ClientsThatMoveToAnotherNodeAreNotArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t)
		n.rooms["room"] = true
		repeat(t, 100, n.engines[0].Join, "room")
		n.flush(t)
		time.Sleep(100 * 24 * time.Hour)
		for range 10 {
			repeat(t, 10, n.engines[0].Leave, "room")
			n.flush(t)
			repeat(t, 10, n.engines[1].Join, "room")
			n.flush(t)
		}
		for _, b := range n.boards {
			if r := b.Popular(1)[0]; r.Occupancy.Connections != 100 || r.Arrivals > 1 || math.Abs(r.Usual-100) > 1 {
				t.Fatalf("%+v", r)
			}
		}
	})
}

func TestImport_SubscribersReceiveTheNewList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("room"))
		b := newBoard(t, e)
		s := b.Subscribe(trending.Trending, 1)
		wantList(t, s, "")
		b.Import([]trending.Activity{{Room: "room", Fast: 10, Slow: 10}})
		time.Sleep(10 * time.Second)
		wantList(t, s, "room")
	})
}

func TestImport_IgnoresInvalidActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		repeat(t, 10, e.Join, "room")
		b := newBoard(t, e, trending.WithFilter(func(room string) bool { return room != "private" }))
		b.Import([]trending.Activity{
			{Room: "room", Fast: math.NaN(), Slow: 1},
			{Room: "room", Fast: 1, Slow: math.Inf(-1)},
			{Room: "room", Fast: 1e300, Slow: 1},
			{Room: "", Fast: 9, Slow: 9},
			{Room: "\xff", Fast: 9, Slow: 9},
			{Room: "private", Fast: 9, Slow: 9},
		})
		if got := b.History(); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
	})
}

func TestChanges_NetSinceLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		repeat(t, 3, e.Join, "room")
		b := newBoard(t, e)
		want := func(want string) {
			t.Helper()
			settle()
			if got := fmt.Sprint(b.Changes()); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
		want("[]")
		repeat(t, 5, e.Join, "room")
		settle()
		repeat(t, 1, e.Leave, "room")
		want("[{room 4 4}]")
		want("[]")
		repeat(t, 7, e.Leave, "room")
		want("[{room -7 -7}]")
	})
}
