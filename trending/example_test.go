package trending_test

import (
	"encoding/json"
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
	board := trending.New(engine)
	defer board.Close()
	saved := []byte(`{"party": [20, 20, 25]}`) // the history of the other process, from a file

	var history map[string][3]float64
	if err := json.Unmarshal(saved, &history); err != nil {
		fmt.Println(err)
	}
	board.Import(history, false)
	history, complete := board.History()
	fmt.Printf("%.0f %v\n", history["party"], complete)
	// Output: [20 20 0] false
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
