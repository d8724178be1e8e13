package trending_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func TestWithWarmup_ClientsThatReturnAreNotArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		b := newBoard(t, e, trending.WithWarmup(time.Minute))
		repeat(t, 100, e.Join, "a")
		time.Sleep(59 * time.Second)
		repeat(t, 100, e.Join, "b")
		settle()
		time.Sleep(time.Second)
		repeat(t, 100, e.Join, "c")
		settle()
		wantTrending(t, b, "c")
		if got := b.Trending(1)[0]; got.Usual > 1 {
			t.Fatalf("%+v", got)
		}
	})
}

func TestWithMinimum_ArrivalsThatARoomNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		b, one := newBoard(t, e, trending.WithMinimum(10)), newBoard(t, e, trending.WithMinimum(1))
		repeat(t, 9, e.Join, "a")
		repeat(t, 11, e.Join, "b")
		settle()
		wantTrending(t, b, "b")
		wantTrending(t, one, "b a")
	})
}

func TestWithFilter_RejectedRoomsAreNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		repeat(t, 5, e.Join, "dm:1")
		var moderated atomic.Bool
		b := newBoard(t, e, trending.WithFilter(func(room string) bool {
			return !strings.HasPrefix(room, "dm:") && (room != "b" || !moderated.Load())
		}))
		repeat(t, 10, e.Join, "dm:2")
		repeat(t, 10, e.Join, "a")
		repeat(t, 10, e.Join, "b")
		settle()
		wantTrending(t, b, "a b")
		if got := names(b.Popular(9)); got != "a b" || b.Len() != 2 {
			t.Fatal(got, b.Len())
		}
		moderated.Store(true)
		repeat(t, 1, e.Join, "b")
		settle()
		wantTrending(t, b, "a")
		if got := names(b.Popular(9)); got != "a" || b.Len() != 1 {
			t.Fatal(got, b.Len())
		}
	})
}

func TestWithFilter_ClientsOfARoomThatIsAcceptedAgainAreNotArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var hidden atomic.Bool
		b := newBoard(t, e, trending.WithFilter(func(string) bool { return !hidden.Load() }))
		repeat(t, 100, e.Join, "room")
		settle()
		hidden.Store(true)
		repeat(t, 1, e.Join, "room")
		time.Sleep(7 * 24 * time.Hour)
		hidden.Store(false)
		repeat(t, 1, e.Join, "room")
		settle()
		if got := b.Popular(1); names(got) != "room" || got[0].Arrivals > 1 || got[0].Usual < 100 {
			t.Fatalf("%+v", got)
		}
	})
}

func TestWithCount_RanksByCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		b := newBoard(t, e, trending.WithCount(trending.PresenceMembers))
		repeat(t, 50, e.Join, "watched")
		repeat(t, 10, enter(e), "a")
		repeat(t, 20, enter(e), "b")
		settle()
		wantTrending(t, b, "b a")
		if got := names(b.Popular(3)); got != "b a watched" {
			t.Fatal(got)
		}
	})
}

func TestWithCount_UsersAreNotArrivalsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		b := newBoard(t, e, trending.WithCount(trending.Users))
		connect := func(room string, user int) *occupancy.Lease {
			l, err := e.Connect(room, occupancy.As(fmt.Sprint(user)))
			must(t, err)
			return l
		}
		for user := range 4 {
			for range 10 { // tabs
				connect("few", user)
			}
			for range 10 { // reloads
				l := connect("reloads", user)
				settle()
				must(t, l.Close())
			}
		}
		for user := range 10 {
			connect("many", user)
		}
		settle()
		wantTrending(t, b, "many")
		if got := names(b.Popular(9)); got != "many few" {
			t.Fatal(got)
		}
	})
}

func TestWithMinUsers_SmallRoomsAreNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		b := newBoard(t, e, trending.WithMinUsers(3))
		var third *occupancy.Lease
		for i, user := range []string{"alice", "bob", "carol"} {
			for _, room := range []string{"a", "b"} {
				repeat(t, 10, e.Join, room)
				if room == "a" || i < 2 {
					l, err := e.Connect(room, occupancy.As(user))
					must(t, err)
					third = l
				}
			}
		}
		settle()
		wantTrending(t, b, "a")
		if got := names(b.Popular(9)); got != "a" || b.Len() != 2 {
			t.Fatal(got, b.Len())
		}
		must(t, third.Close()) // carol leaves
		settle()
		wantTrending(t, b, "")
	})
}

func TestInvalidArgumentsPanic(t *testing.T) {
	e := newEngine(t)
	b := newBoard(t, e)
	for name, f := range map[string]func(){
		"zero half-life":                        func() { trending.New(e, trending.WithHalfLife(0)) },
		"negative half-life":                    func() { trending.New(e, trending.WithHalfLife(-1)) },
		"negative warm-up":                      func() { trending.New(e, trending.WithWarmup(-1)) },
		"zero minimum":                          func() { trending.New(e, trending.WithMinimum(0)) },
		"users that are not counted":            func() { trending.New(e, trending.WithCount(trending.Users)) },
		"minimum of users that are not counted": func() { trending.New(e, trending.WithMinUsers(1)) },
		"negative minimum of users":             func() { trending.New(e, trending.WithMinUsers(-1)) },
		"nil filter":                            func() { trending.New(e, trending.WithFilter(nil)) },
		"invalid count":                         func() { trending.New(e, trending.WithCount(-1)) },
		"invalid order of Top":                  func() { b.Top(trending.Order(2), 1) },
		"invalid order of Subscribe":            func() { b.Subscribe(trending.Order(-1), 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
