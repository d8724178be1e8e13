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

// What a chat server does: a lease for each connection, and whoever wants to know
// reads or subscribes.
func Example() {
	rooms := occupancy.New()
	defer rooms.Close()

	// When alice's connection to the lobby comes, and until it ends:
	conn, err := rooms.Connect("lobby")
	if err != nil {
		fmt.Println(err) // tell the client, and end the connection
		return
	}
	defer conn.Close() // however it ends: all that it added is taken away, once

	// When she enters the room's presence set:
	if err := conn.Enter("alice"); err != nil {
		fmt.Println(err)
	}

	// At any moment, at almost no cost:
	now := rooms.Current("lobby")
	fmt.Println(now.Connections, "connection,", now.PresenceMembers, "present")
	// Output: 1 connection, 1 present
}

// An option is given when the engine is made. Without WithInterval a room has ten
// events a second at most.
func ExampleNew() {
	rooms := occupancy.New(
		occupancy.WithInterval(time.Second), // quieter
		occupancy.WithMaxRooms(100_000),
	)
	defer rooms.Close()
	fmt.Println(rooms.Stats().Rooms)
	// Output: 0
}

func ExampleWithMaxRooms() {
	rooms := occupancy.New(occupancy.WithMaxRooms(1))
	defer rooms.Close()

	fmt.Println(rooms.Join("lobby"))
	fmt.Println(rooms.Join("kitchen")) // would be the second
	fmt.Println(rooms.Join("lobby"))   // exists
	// Output:
	// <nil>
	// occupancy: too many rooms
	// <nil>
}

// The errors are constants. What was refused has changed nothing.
func ExampleError() {
	rooms := occupancy.New()
	defer rooms.Close()

	err := rooms.Leave("lobby")
	fmt.Println(err)
	fmt.Println(errors.Is(err, occupancy.ErrNotJoined))
	fmt.Println(rooms.Current("lobby"))
	// Output:
	// occupancy: no connection to leave
	// true
	// {0 0}
}

// Where a lease does not fit, the hooks count by themselves: a Leave for every Join.
func ExampleEngine_Join() {
	rooms := occupancy.New()
	defer rooms.Close()

	_ = rooms.Join("lobby")
	_ = rooms.Join("lobby")
	fmt.Println(rooms.Current("lobby").Connections)

	_ = rooms.Leave("lobby")
	fmt.Println(rooms.Current("lobby").Connections)
	// Output:
	// 2
	// 1
}

func ExampleEngine_Leave() {
	rooms := occupancy.New()
	defer rooms.Close()

	_ = rooms.Join("lobby")
	fmt.Println(rooms.Leave("lobby"))
	fmt.Println(rooms.Leave("lobby"))
	// Output:
	// <nil>
	// occupancy: no connection to leave
}

func ExampleEngine_Enter() {
	rooms := occupancy.New()
	defer rooms.Close()

	_ = rooms.Join("lobby")  // a connection of a bridge to another chat,
	_ = rooms.Enter("lobby") // by which two clients are present
	_ = rooms.Enter("lobby")
	fmt.Printf("%+v\n", rooms.Current("lobby"))
	// Output: {Connections:1 PresenceMembers:2}
}

func ExampleEngine_Exit() {
	rooms := occupancy.New()
	defer rooms.Close()

	_ = rooms.Enter("lobby")
	fmt.Println(rooms.Exit("lobby"))
	fmt.Println(rooms.Exit("lobby"))
	// Output:
	// <nil>
	// occupancy: no presence member to exit
}

// One user with two tabs is two connections.
func ExampleEngine_Connect() {
	rooms := occupancy.New()
	defer rooms.Close()

	tab1, _ := rooms.Connect("lobby")
	tab2, _ := rooms.Connect("lobby")
	fmt.Println(rooms.Current("lobby").Connections)

	_ = tab1.Close()
	_ = tab1.Close() // once, however often
	fmt.Println(rooms.Current("lobby").Connections)

	_ = tab2.Close()
	fmt.Println(rooms.Current("lobby").Connections)
	// Output:
	// 2
	// 1
	// 0
}

// A connection may enter under several client ids; twice under the same one counts
// once.
func ExampleConn() {
	rooms := occupancy.New()
	defer rooms.Close()

	conn, _ := rooms.Connect("lobby")
	_ = conn.Enter("alice")
	_ = conn.Enter("alice")
	_ = conn.Enter("her bot")
	fmt.Println(rooms.Current("lobby").PresenceMembers)

	fmt.Println(conn.Exit("her bot"))
	fmt.Println(conn.Exit("her bot"))
	fmt.Println(rooms.Current("lobby").PresenceMembers)

	_ = conn.Close() // alice exits with it
	fmt.Println(rooms.Current("lobby"))
	// Output:
	// 2
	// <nil>
	// occupancy: no presence member to exit
	// 1
	// {0 0}
}

// A room needs no creation: one that nobody is in, or that never was, is empty.
func ExampleEngine_Current() {
	rooms := occupancy.New()
	defer rooms.Close()

	fmt.Println(rooms.Current("lobby"))
	_ = rooms.Join("lobby")
	fmt.Println(rooms.Current("lobby"))
	// Output:
	// {0 0}
	// {1 0}
}

// Local is what this process itself counts, without the other nodes' parts.
func ExampleEngine_Local() {
	rooms := occupancy.New()
	defer rooms.Close()

	_ = rooms.Join("lobby")
	_ = rooms.Remote("chat-2").Set("lobby", occupancy.Occupancy{Connections: 40})
	fmt.Println(rooms.Current("lobby").Connections, "of which here", rooms.Local("lobby").Connections)
	// Output: 41 of which here 1
}

// others answers for the other nodes. A real one asks them; package cluster has it.
type others map[string]occupancy.Occupancy

var errSilent = errors.New("chat-3 does not answer")

func (o others) Get(_ context.Context, room string) (occupancy.Occupancy, error) {
	if room == "attic" {
		return o[room], errSilent // what is known, and what is missing
	}
	return o[room], nil
}

// Get asks: it is slower than Current, and as fresh as the other nodes are.
func ExampleEngine_Get() {
	rooms := occupancy.New()
	defer rooms.Close()
	rooms.SetPeers(others{"lobby": {Connections: 40}, "attic": {Connections: 2}})

	_ = rooms.Join("lobby")
	fmt.Println(rooms.Get(context.Background(), "lobby"))
	fmt.Println(rooms.Get(context.Background(), "attic"))
	// Output:
	// {41 0} <nil>
	// {2 0} chat-3 does not answer
}

// Without peers Get is Current.
func ExampleEngine_SetPeers() {
	rooms := occupancy.New()
	defer rooms.Close()

	_ = rooms.Join("lobby")
	rooms.SetPeers(others{"lobby": {Connections: 40}})
	fmt.Println(rooms.Get(context.Background(), "lobby"))
	rooms.SetPeers(nil)
	fmt.Println(rooms.Get(context.Background(), "lobby"))
	// Output:
	// {41 0} <nil>
	// {1 0} <nil>
}

// All yields every room that is not empty, in no order.
func ExampleEngine_All() {
	rooms := occupancy.New()
	defer rooms.Close()
	for _, room := range []string{"lobby", "kitchen", "lobby", "attic"} {
		_ = rooms.Join(room)
	}
	_ = rooms.Leave("attic")

	all := maps.Collect(rooms.All())
	for _, room := range slices.Sorted(maps.Keys(all)) {
		fmt.Println(room, all[room].Connections)
	}
	// Output:
	// kitchen 1
	// lobby 2
}

// Stats never walks the rooms, so a scrape of a million rooms costs the same as one
// of ten. What the rooms add up to is as last told: here a watcher has been.
func ExampleEngine_Stats() {
	rooms := occupancy.New()
	defer rooms.Close()
	for range 3 {
		_ = rooms.Join("lobby")
	}
	_ = rooms.Join("kitchen")
	watcher := rooms.Watch()
	defer watcher.Close()
	_, _ = watcher.Next(context.Background())

	s := rooms.Stats()
	fmt.Println(s.Rooms, "rooms,", s.Connections, "connections,", s.Watchers, "watcher")
	// Output: 2 rooms, 4 connections, 1 watcher
}

// A handle saves the look-up, for a connection or for as long as the program runs.
func ExampleEngine_Room() {
	rooms := occupancy.New()
	defer rooms.Close()

	lobby := rooms.Room("lobby")
	_ = lobby.Join()
	fmt.Println(lobby.Name(), lobby.Current())
	_ = lobby.Leave() // the room ends here, the handle does not
	_ = lobby.Join()
	fmt.Println(lobby.Name(), rooms.Current("lobby"))
	// Output:
	// lobby {1 0}
	// lobby {1 0}
}

// All verbs are there, and a lease can be made by a handle too.
func ExampleRoom() {
	rooms := occupancy.New()
	defer rooms.Close()

	lobby := rooms.Room("lobby")
	conn, err := lobby.Connect()
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = conn.Enter("alice")
	now, err := lobby.Get(context.Background())
	fmt.Println(now, err)
	_ = conn.Close()
	fmt.Println(lobby.Current())
	// Output:
	// {1 1} <nil>
	// {0 0}
}

// The first event is the occupancy when Subscribe returns. Then each change: at once
// after quiet, and no more often than the interval.
func ExampleEngine_Subscribe() {
	rooms := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer rooms.Close()
	_ = rooms.Join("lobby")

	sub, err := rooms.Subscribe("lobby")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Unsubscribe()

	fmt.Println((<-sub.Events()).Occupancy)
	_ = rooms.Join("lobby")
	fmt.Println((<-sub.Events()).Occupancy)
	_ = rooms.Enter("lobby")
	fmt.Println((<-sub.Events()).Occupancy)
	// Output:
	// {1 0}
	// {2 0}
	// {2 1}
}

// A subscriber that does not read holds one event, the newest, and delays nobody.
// Close tells the last word and then closes the channel.
func ExampleSubscription() {
	rooms := occupancy.New()
	sub, _ := rooms.Subscribe("lobby")
	for range 1000 {
		_ = rooms.Join("lobby")
	}
	_ = rooms.Close()

	for event := range sub.Events() {
		fmt.Println(event.Room, event.Occupancy.Connections)
	}
	// Output: lobby 1000
}

// After Unsubscribe the channel is closed and yields nothing, not even what waited.
func ExampleSubscription_Unsubscribe() {
	rooms := occupancy.New()
	defer rooms.Close()

	sub, _ := rooms.Subscribe("lobby")
	sub.Unsubscribe()
	_, ok := <-sub.Events()
	fmt.Println(ok)
	// Output: false
}

// What a browser gets.
func ExampleEvent() {
	text, err := json.Marshal(occupancy.Event{
		Type:      occupancy.EventUpdated,
		Occupancy: occupancy.Occupancy{Connections: 103, PresenceMembers: 95},
		Room:      "lobby",
		Version:   17,
	})
	fmt.Println(string(text), err)
	// Output: {"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}} <nil>
}

// First come the rooms that are not empty, then every room that changed since the
// last Next: once, with its newest value, which is zero when it emptied.
func ExampleEngine_Watch() {
	rooms := occupancy.New()
	defer rooms.Close()
	_ = rooms.Join("lobby")
	_ = rooms.Join("attic")

	page := map[string]occupancy.Occupancy{} // that lists all rooms
	watcher := rooms.Watch()
	defer watcher.Close()
	next := func() {
		changed, err := watcher.Next(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, event := range changed {
			page[event.Room] = event.Occupancy
		}
		fmt.Println(page)
	}
	next()
	_ = rooms.Leave("attic")
	next()
	// Output:
	// map[attic:{1 0} lobby:{1 0}]
	// map[attic:{0 0} lobby:{1 0}]
}

func ExampleWithPrefix() {
	rooms := occupancy.New()
	defer rooms.Close()
	_ = rooms.Join("games/chess")
	_ = rooms.Join("music/jazz")

	watcher := rooms.Watch(occupancy.WithPrefix("games/"))
	defer watcher.Close()
	changed, _ := watcher.Next(context.Background())
	for _, event := range changed {
		fmt.Println(event.Room, event.Occupancy)
	}
	// Output: games/chess {1 0}
}

// What this node has to tell the others: its own part of each room, and nothing of
// theirs.
func ExampleLocalOnly() {
	rooms := occupancy.New()
	defer rooms.Close()
	_ = rooms.Join("lobby")
	_ = rooms.Remote("chat-2").Set("lobby", occupancy.Occupancy{Connections: 40})
	_ = rooms.Remote("chat-2").Set("attic", occupancy.Occupancy{Connections: 2})

	watcher := rooms.Watch(occupancy.LocalOnly())
	defer watcher.Close()
	changed, _ := watcher.Next(context.Background())
	for _, event := range changed {
		fmt.Println(event.Room, event.Occupancy)
	}
	// Output: lobby {1 0}
}

// A watcher is closed from anywhere; who waits for it gets ErrClosed.
func ExampleWatcher_Close() {
	rooms := occupancy.New()
	defer rooms.Close()

	watcher := rooms.Watch()
	go watcher.Close()
	_, err := watcher.Next(context.Background())
	fmt.Println(err, errors.Is(err, occupancy.ErrClosed))
	// Output: occupancy: closed true
}

// Another node's part of the rooms, as whoever links the nodes hears of it. What it
// says is absolute, so that a repeat is harmless, and all of it goes when it is gone.
func ExampleEngine_Remote() {
	rooms := occupancy.New()
	defer rooms.Close()
	_ = rooms.Join("lobby")

	chat2 := rooms.Remote("chat-2")
	_ = chat2.Set("lobby", occupancy.Occupancy{Connections: 40, PresenceMembers: 35})
	_ = chat2.Set("lobby", occupancy.Occupancy{Connections: 40, PresenceMembers: 35})
	fmt.Println(rooms.Current("lobby"))

	chat2.Close()
	fmt.Println(rooms.Current("lobby"))
	// Output:
	// {41 35}
	// {1 0}
}

// A part that cannot be is refused.
func ExampleRemote_Set() {
	rooms := occupancy.New()
	defer rooms.Close()

	chat2 := rooms.Remote("chat-2")
	err := chat2.Set("lobby", occupancy.Occupancy{Connections: -1})
	fmt.Println(chat2.Node(), err)
	fmt.Println(rooms.Current("lobby"))
	// Output:
	// chat-2 occupancy: count is below zero or beyond 2³¹−1
	// {0 0}
}

// After Close nothing is counted any more, and what was counted can still be read.
func ExampleEngine_Close() {
	rooms := occupancy.New()
	_ = rooms.Join("lobby")
	_ = rooms.Close()

	fmt.Println(rooms.Join("lobby"))
	fmt.Println(rooms.Current("lobby"))
	// Output:
	// occupancy: closed
	// {1 0}
}
