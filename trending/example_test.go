package trending_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func Example() {
	engine := occupancy.New()
	defer engine.Close()
	for room, connections := range map[string]int{"game:chess": 3, "game:go": 5, "dm:1": 9} {
		for range connections {
			_ = engine.Join(room)
		}
	}

	// begin: board
	public := func(room string) bool { return !strings.HasPrefix(room, "dm:") }
	board := trending.New(engine, trending.WithFilter(public))
	defer board.Close()
	for i, room := range board.Popular(10) { // or Trending
		fmt.Println(i+1, room.Name, room.Occupancy.Connections)
	}
	// end: board
	// Output:
	// 1 game:go 5
	// 2 game:chess 3
}

func ExampleBoard_Subscribe() {
	engine := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer engine.Close()
	board := trending.New(engine, trending.WithWarmup(0)) // a server needs the warm-up
	defer board.Close()

	sub := board.Subscribe(trending.Trending, 10)
	defer sub.Unsubscribe()
	fmt.Println("first:", len(<-sub.Rooms()), "rooms")
	for range 20 {
		_ = engine.Join("party")
	}
	fmt.Println("then:", (<-sub.Rooms())[0].Name)
	// Output:
	// first: 0 rooms
	// then: party
}

// A process that replaces another one takes over its history.
func ExampleBoard_History() {
	engine := occupancy.New()
	defer engine.Close()
	board := trending.New(engine, trending.WithWarmup(0))
	defer board.Close()
	saved := []trending.Activity{{Room: "party", Fast: 20, Slow: 20}} // of History, for example from a file
	board.Import(saved)
	for _, a := range board.History() {
		fmt.Printf("%s %.0f\n", a.Room, a.Fast)
	}
	// Output: party 20
}

func ExampleParseOrder() {
	by, err := trending.ParseOrder("popular")
	fmt.Println(by, err)
	_, err = trending.ParseOrder("best")
	fmt.Println(err)
	// Output:
	// popular <nil>
	// trending: no order named "best": want popular or trending
}
