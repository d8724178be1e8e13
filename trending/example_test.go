package trending_test

import (
	"fmt"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func Example() {
	engine := occupancy.New()
	defer engine.Close()
	for room, connections := range map[string]int{"game:chess": 3, "game:go": 5, "lobby": 9} {
		for range connections {
			_ = engine.Join(room)
		}
	}

	// begin: board
	board := trending.New(engine, trending.WithHalfLife(5*time.Minute), trending.WithPrefix("game:"))
	defer board.Close()
	for i, room := range board.Popular(10) { // Trending ranks by recent arrivals instead
		fmt.Println(i+1, room.Name, room.Occupancy.Connections)
	}
	// end: board
	places, ok := board.Rank("game:chess")
	fmt.Println(places.Popular, ok)
	// Output:
	// 1 game:go 5
	// 2 game:chess 3
	// 2 true
}

func ExampleBoard_Subscribe() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")
	board := trending.New(engine)
	defer board.Close()

	sub := board.Subscribe(trending.Trending, 10)
	defer sub.Unsubscribe()
	fmt.Println("first:", (<-sub.Rooms())[0].Name)
	_ = engine.Join("party")
	fmt.Println("then:", (<-sub.Rooms())[0].Name)
	// Output:
	// first: lobby
	// then: party
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
