package occupancy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// A server takes a lease for each connection, reads a room whenever it likes, and
// subscribes to hear what becomes of it.
func Example() {
	engine := occupancy.New()
	defer engine.Close()

	conn, _ := engine.Connect("lobby") // a websocket was opened
	defer conn.Close()                 // however it ends
	_ = conn.Enter("alice")            // and said who it is

	fmt.Println(engine.Current("lobby"))

	sub, _ := engine.Subscribe("lobby")
	defer sub.Unsubscribe()
	event, _ := json.Marshal(<-sub.Events()) // the first is what the room is now
	fmt.Println(string(event))

	_ = engine.Join("lobby") // somebody else comes
	event, _ = json.Marshal(<-sub.Events())
	fmt.Println(string(event))
	// Output:
	// {1 1}
	// {"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":1}}
	// {"type":"occupancy.updated","occupancy":{"connections":2,"presenceMembers":1}}
}

// A server that keeps its own books calls the hooks. Each Join needs its Leave.
func ExampleEngine_Join() {
	engine := occupancy.New()
	defer engine.Close()

	_ = engine.Join("lobby")
	_ = engine.Join("lobby")
	_ = engine.Enter("lobby")
	fmt.Println(engine.Current("lobby"))

	_ = engine.Exit("lobby")
	_ = engine.Leave("lobby")
	fmt.Println(engine.Current("lobby"))
	// Output:
	// {2 1}
	// {1 0}
}

// A Leave without its Join is refused, and changes nothing.
func ExampleEngine_Leave() {
	engine := occupancy.New()
	defer engine.Close()

	err := engine.Leave("lobby")
	fmt.Println(err, errors.Is(err, occupancy.ErrNotJoined))
	// Output: occupancy: no connection to leave true
}

func ExampleEngine_Enter() {
	engine := occupancy.New()
	defer engine.Close()

	_ = engine.Join("lobby")
	_ = engine.Enter("lobby") // one connection may bring several clients
	_ = engine.Enter("lobby")
	fmt.Println(engine.Current("lobby"))
	// Output: {1 2}
}

func ExampleEngine_Exit() {
	engine := occupancy.New()
	defer engine.Close()

	_ = engine.Enter("lobby")
	fmt.Println(engine.Exit("lobby"))
	fmt.Println(engine.Exit("lobby"))
	// Output:
	// <nil>
	// occupancy: no presence member to exit
}

// A lease counts right whatever is called, and however often.
func ExampleEngine_Connect() {
	engine := occupancy.New()
	defer engine.Close()

	conn, err := engine.Connect("lobby")
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = conn.Enter("alice")
	_ = conn.Enter("alice") // counts once
	_ = conn.Enter("bob")
	fmt.Println(engine.Current("lobby"))

	_ = conn.Close() // exits both and leaves
	_ = conn.Close() // does nothing
	fmt.Println(engine.Current("lobby"))
	fmt.Println(conn.Enter("carol"))
	// Output:
	// {1 2}
	// {0 0}
	// occupancy: closed
}

func ExampleConn_Exit() {
	engine := occupancy.New()
	defer engine.Close()
	conn, _ := engine.Connect("lobby")
	defer conn.Close()

	_ = conn.Enter("alice")
	fmt.Println(conn.Exit("alice"), engine.Current("lobby"))
	fmt.Println(conn.Exit("alice"), engine.Current("lobby"))
	// Output:
	// <nil> {1 0}
	// occupancy: no presence member to exit {1 0}
}

// A room that never was is empty, like one that everybody left.
func ExampleEngine_Current() {
	engine := occupancy.New()
	defer engine.Close()

	fmt.Println(engine.Current("nowhere").Connections)
	// Output: 0
}

// Other processes have a part in the room, and Get asks them for it.
func ExampleEngine_Get() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")

	engine.SetPeers(peers{"lobby": {Connections: 41, PresenceMembers: 7}})
	o, err := engine.Get(context.Background(), "lobby")
	fmt.Println(o, err)
	// Output: {42 7} <nil>
}

// peers would ask the other nodes over a network.
type peers map[string]occupancy.Occupancy

func (p peers) Get(_ context.Context, room string) (occupancy.Occupancy, error) { return p[room], nil }

func ExampleEngine_All() {
	engine := occupancy.New()
	defer engine.Close()
	for _, room := range []string{"lobby", "music", "lobby"} {
		_ = engine.Join(room)
	}

	rooms := maps.Collect(engine.All())
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		fmt.Println(room, rooms[room].Connections)
	}
	// Output:
	// lobby 2
	// music 1
}

func ExampleEngine_Stats() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")
	sub, _ := engine.Subscribe("lobby")
	defer sub.Unsubscribe()

	stats := engine.Stats()
	fmt.Println(stats.Rooms, stats.Connections, stats.Subscriptions)
	// Output: 1 1 1
}

// A handle saves the look-up. It is a name: the room may come and go.
func ExampleEngine_Room() {
	engine := occupancy.New()
	defer engine.Close()

	lobby := engine.Room("lobby")
	_ = lobby.Join()
	fmt.Println(lobby.Name(), lobby.Current())
	_ = lobby.Leave()
	fmt.Println(lobby.Name(), lobby.Current())
	_ = lobby.Join()
	fmt.Println(lobby.Name(), lobby.Current())
	// Output:
	// lobby {1 0}
	// lobby {0 0}
	// lobby {1 0}
}

// The first event waits when Subscribe returns; a change after quiet is told at once.
func ExampleEngine_Subscribe() {
	engine := occupancy.New(occupancy.WithInterval(50 * time.Millisecond))
	defer engine.Close()

	sub, err := engine.Subscribe("lobby")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println((<-sub.Events()).Occupancy)
	_ = engine.Join("lobby")
	fmt.Println((<-sub.Events()).Occupancy)

	sub.Unsubscribe()
	_, open := <-sub.Events()
	fmt.Println(open)
	// Output:
	// {0 0}
	// {1 0}
	// false
}

// The rooms that are not empty come first, then every room that changed.
func ExampleEngine_Watch() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("game:chess")
	_ = engine.Join("lobby")

	watcher := engine.Watch(occupancy.WithPrefix("game:"))
	defer watcher.Close()
	next := func() {
		events, err := watcher.Next(context.Background())
		if err != nil {
			fmt.Println(err)
		}
		for _, event := range events {
			fmt.Println(event.Room, event.Occupancy)
		}
	}
	next()
	_ = engine.Join("game:go")
	next()
	// Output:
	// game:chess {1 0}
	// game:go {1 0}
}

// What this process has to tell others is its own part.
func ExampleLocalOnly() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")
	_ = engine.Remote("node-2").Set("lobby", occupancy.Occupancy{Connections: 9})

	watcher := engine.Watch(occupancy.LocalOnly())
	defer watcher.Close()
	events, _ := watcher.Next(context.Background())
	fmt.Println(events[0].Occupancy, engine.Local("lobby"), engine.Current("lobby"))
	// Output: {1 0} {1 0} {10 0}
}

// Another node's part is absolute: it is set to what that node says of itself.
func ExampleEngine_Remote() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")

	node := engine.Remote("node-2")
	_ = node.Set("lobby", occupancy.Occupancy{Connections: 5})
	_ = node.Set("lobby", occupancy.Occupancy{Connections: 5}) // a repeat is harmless
	fmt.Println(engine.Current("lobby"))
	node.Close() // it is gone
	fmt.Println(engine.Current("lobby"))
	// Output:
	// {6 0}
	// {1 0}
}

func ExampleWithMaxRooms() {
	engine := occupancy.New(occupancy.WithMaxRooms(1))
	defer engine.Close()

	fmt.Println(engine.Join("lobby"))
	fmt.Println(engine.Join("lobby"))
	fmt.Println(engine.Join("music"))
	_ = engine.Leave("lobby")
	_ = engine.Leave("lobby")
	fmt.Println(engine.Join("music"))
	// Output:
	// <nil>
	// <nil>
	// occupancy: too many rooms
	// <nil>
}

func ExampleEngine_Close() {
	engine := occupancy.New()
	_ = engine.Join("lobby")
	sub, _ := engine.Subscribe("lobby")

	_ = engine.Close()
	for event := range sub.Events() { // the last word, and then the end
		fmt.Println(event.Occupancy)
	}
	fmt.Println(engine.Join("lobby"))
	fmt.Println(engine.Current("lobby"))
	// Output:
	// {1 0}
	// occupancy: closed
	// {1 0}
}
