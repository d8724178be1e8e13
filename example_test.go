package occupancy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// A chat server opens a lease for each connection to a room.
func Example() {
	engine := occupancy.New()
	defer engine.Close()

	// When a client connects to the lobby:
	lease, err := engine.Connect("lobby")
	if err != nil {
		fmt.Println(err) // report it to the client and close the connection
		return
	}
	defer lease.Close() // when the connection ends, for whatever reason

	// When the client enters the room's presence set:
	if err := lease.Enter("alice"); err != nil {
		fmt.Println(err)
	}

	// At any moment, at almost no cost:
	now := engine.Current("lobby")
	fmt.Println(now.Connections, "connection,", now.PresenceMembers, "present")
	// Output: 1 connection, 1 present
}

// Without WithInterval a room has at most ten events a second.
func ExampleNew() {
	engine := occupancy.New(
		occupancy.WithInterval(time.Second),
		occupancy.WithMaxRooms(100_000),
	)
	defer engine.Close()
	fmt.Println(engine.Interval())
	// Output: 1s
}

func ExampleWithMaxRooms() {
	engine := occupancy.New(occupancy.WithMaxRooms(1))
	defer engine.Close()

	fmt.Println(engine.Join("lobby"))
	fmt.Println(engine.Join("kitchen")) // would be the second room
	fmt.Println(engine.Join("lobby"))   // exists

	_, err := engine.Subscribe("kitchen") // rooms that are only subscribed to have their own limit
	fmt.Println(err)
	// Output:
	// <nil>
	// occupancy: room limit reached
	// <nil>
	// <nil>
}

// The errors are constants. A refused call has changed nothing.
func ExampleError() {
	engine := occupancy.New()
	defer engine.Close()

	err := engine.Leave("lobby")
	fmt.Println(err)
	fmt.Println(errors.Is(err, occupancy.ErrNotJoined))
	fmt.Println(engine.Current("lobby"))
	// Output:
	// occupancy: not joined: the room has no connection
	// true
	// {0 0 0}
}

// A server may check a name before it uses it.
func ExampleValidRoom() {
	fmt.Println(occupancy.ValidRoom("lobby"))
	fmt.Println(occupancy.ValidRoom(""))
	// Output:
	// <nil>
	// occupancy: invalid room name: must be 1 to 1024 bytes of UTF-8
}

func ExampleValidClientID() {
	fmt.Println(occupancy.ValidClientID("alice"))
	fmt.Println(occupancy.ValidClientID(""))
	// Output:
	// <nil>
	// occupancy: invalid client ID: must be 1 to 1024 bytes of UTF-8
}

// Where a lease does not fit, the server calls the hooks: a Leave for every Join.
func ExampleEngine_Join() {
	engine := occupancy.New()
	defer engine.Close()

	_ = engine.Join("lobby")
	_ = engine.Join("lobby")
	fmt.Println(engine.Current("lobby").Connections)

	_ = engine.Leave("lobby")
	fmt.Println(engine.Current("lobby").Connections)
	// Output:
	// 2
	// 1
}

func ExampleEngine_Leave() {
	engine := occupancy.New()
	defer engine.Close()

	_ = engine.Join("lobby")
	fmt.Println(engine.Leave("lobby"))
	fmt.Println(engine.Leave("lobby"))
	// Output:
	// <nil>
	// occupancy: not joined: the room has no connection
}

func ExampleEngine_Enter() {
	engine := occupancy.New()
	defer engine.Close()

	_ = engine.Join("lobby") // the connection of a bridge to another chat,
	_ = engine.Enter("lobby", "alice")
	_ = engine.Enter("lobby", "bob") // through which two clients are present
	fmt.Printf("%+v\n", engine.Current("lobby"))
	// Output: {Connections:1 PresenceMembers:2 Users:0}
}

func ExampleEngine_Exit() {
	engine := occupancy.New()
	defer engine.Close()

	_ = engine.Enter("lobby", "alice")
	fmt.Println(engine.Exit("lobby", "alice"))
	fmt.Println(engine.Exit("lobby", "alice"))
	// Output:
	// <nil>
	// occupancy: not entered: no such presence member in the room
}

// One user with two tabs has two connections.
func ExampleEngine_Connect() {
	engine := occupancy.New()
	defer engine.Close()

	tab1, _ := engine.Connect("lobby")
	tab2, _ := engine.Connect("lobby")
	fmt.Println(engine.Current("lobby").Connections)

	_ = tab1.Close()
	_ = tab1.Close() // does nothing
	fmt.Println(engine.Current("lobby").Connections)

	_ = tab2.Close()
	fmt.Println(engine.Current("lobby").Connections)
	// Output:
	// 2
	// 1
	// 0
}

// A connection may enter under several client IDs. Entering twice under the same ID
// counts once.
func ExampleLease() {
	engine := occupancy.New()
	defer engine.Close()

	lease, _ := engine.Connect("lobby")
	_ = lease.Enter("alice")
	_ = lease.Enter("alice")
	_ = lease.Enter("alice's bot")
	fmt.Println(lease.Room(), engine.Current("lobby").PresenceMembers)

	fmt.Println(lease.Exit("alice's bot"))
	fmt.Println(lease.Exit("alice's bot"))
	fmt.Println(engine.Current("lobby").PresenceMembers)

	_ = lease.Close() // also exits alice
	fmt.Println(engine.Current("lobby"))
	// Output:
	// lobby 2
	// <nil>
	// occupancy: not entered: no such presence member in the room
	// 1
	// {0 0 0}
}

// A room needs no creation. A room that nobody is in is empty.
func ExampleEngine_Current() {
	engine := occupancy.New()
	defer engine.Close()

	fmt.Println(engine.Current("lobby"))
	_ = engine.Join("lobby")
	fmt.Println(engine.Current("lobby"))
	// Output:
	// {0 0 0}
	// {1 0 0}
}

// Local returns what this process counts, without the other nodes' parts.
func ExampleEngine_Local() {
	engine := occupancy.New()
	defer engine.Close()
	link, _ := engine.Link(nil)
	chat2 := link.Remote("chat-2")

	_ = engine.Join("lobby")
	_ = chat2.Set(occupancy.Part{Room: "lobby", Occupancy: occupancy.Occupancy{Connections: 40}})
	fmt.Println(engine.Current("lobby").Connections, "connections,", engine.Local("lobby").Connections, "of this process")
	// Output: 41 connections, 1 of this process
}

// nodes answers for the other nodes. Package cluster queries real ones.
type nodes map[string]occupancy.Occupancy

var errNoAnswer = errors.New("no answer from chat-3")

func (n nodes) Get(_ context.Context, room string) (occupancy.Occupancy, error) {
	if room == "attic" {
		return n[room], errNoAnswer // a partial sum and what is missing
	}
	return n[room], nil
}

// Get queries the other nodes. It is slower than Current and as fresh as their answers.
func ExampleEngine_Get() {
	engine := occupancy.New()
	defer engine.Close()
	_, _ = engine.Link(nodes{"lobby": {Connections: 40}, "attic": {Connections: 2}})

	_ = engine.Join("lobby")
	fmt.Println(engine.Get(context.Background(), "lobby"))
	fmt.Println(engine.Get(context.Background(), "attic"))
	// Output:
	// {41 0 0} <nil>
	// {2 0 0} no answer from chat-3
}

// All yields every room that is not empty, in no particular order.
func ExampleEngine_All() {
	engine := occupancy.New()
	defer engine.Close()
	for _, room := range []string{"lobby", "kitchen", "lobby", "attic"} {
		_ = engine.Join(room)
	}
	_ = engine.Leave("attic")

	all := maps.Collect(engine.All())
	for _, room := range slices.Sorted(maps.Keys(all)) {
		fmt.Println(room, all[room].Connections)
	}
	// Output:
	// kitchen 1
	// lobby 2
}

// Stats never walks the rooms, so it costs the same with ten rooms and with a million.
// Its totals are those last published.
func ExampleEngine_Stats() {
	engine := occupancy.New()
	defer engine.Close()
	for range 3 {
		_ = engine.Join("lobby")
	}
	_ = engine.Join("kitchen")
	watcher, _ := engine.Watch()
	defer watcher.Close()
	_, _ = watcher.Next(context.Background()) // publishes both rooms

	s := engine.Stats()
	fmt.Println(s.Rooms, "rooms,", s.Total.Connections, "connections,", s.Watchers, "watcher")
	// Output: 2 rooms, 4 connections, 1 watcher
}

// A goroutine of the host ends together with the engine.
func ExampleEngine_Done() {
	engine := occupancy.New()
	ended := make(chan string)
	go func() {
		<-engine.Done()
		ended <- "engine closed"
	}()
	_ = engine.Close()
	fmt.Println(<-ended)
	// Output: engine closed
}

// A handle saves the look-up by name. It stays valid when the room ends.
func ExampleEngine_Room() {
	engine := occupancy.New()
	defer engine.Close()

	lobby := engine.Room("lobby")
	_ = lobby.Join()
	fmt.Println(lobby.Name(), lobby.Current())
	_ = lobby.Leave() // the room ends
	_ = lobby.Join()
	fmt.Println(lobby.Name(), engine.Current("lobby"))
	// Output:
	// lobby {1 0 0}
	// lobby {1 0 0}
}

// A handle has all methods of the engine for its room.
func ExampleRoom() {
	engine := occupancy.New()
	defer engine.Close()

	lobby := engine.Room("lobby")
	lease, err := lobby.Connect()
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = lease.Enter("alice")
	fmt.Println(lobby.Get(context.Background()))
	_ = lease.Close()
	fmt.Println(lobby.Current())
	// Output:
	// {1 1 0} <nil>
	// {0 0 0}
}

// The first event is the occupancy when Subscribe was called. After that, each change is
// published immediately after a quiet interval, and otherwise at the end of the interval.
func ExampleEngine_Subscribe() {
	engine := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer engine.Close()
	_ = engine.Join("lobby")

	sub, err := engine.Subscribe("lobby")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Unsubscribe()

	fmt.Println((<-sub.Events()).Occupancy)
	_ = engine.Join("lobby")
	fmt.Println((<-sub.Events()).Occupancy)
	_ = engine.Enter("lobby", "alice")
	fmt.Println((<-sub.Events()).Occupancy)
	// Output:
	// {1 0 0}
	// {2 0 0}
	// {2 1 0}
}

// A subscriber that does not read holds one event, the newest, and delays nobody. Close
// of the engine delivers the last value and then closes the channel.
func ExampleSubscription() {
	engine := occupancy.New()
	sub, _ := engine.Subscribe("lobby")
	for range 1000 {
		_ = engine.Join("lobby")
	}
	_ = engine.Close()

	for event := range sub.Events() {
		fmt.Println(sub.Room(), event.Occupancy.Connections)
	}
	// Output: lobby 1000
}

// After Unsubscribe the channel is closed and empty.
func ExampleSubscription_Unsubscribe() {
	engine := occupancy.New()
	defer engine.Close()

	sub, _ := engine.Subscribe("lobby")
	sub.Unsubscribe()
	_, ok := <-sub.Events()
	fmt.Println(ok)
	// Output: false
}

// A server sends an event to its clients as JSON.
func ExampleEvent() {
	text, err := json.Marshal(occupancy.Event{
		Type:      occupancy.EventUpdated,
		Occupancy: occupancy.Occupancy{Connections: 103, PresenceMembers: 95},
		Version:   17,
	})
	fmt.Println(string(text), err)
	// Output: {"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}} <nil>
}

// The events of a watcher contain their room.
func ExampleRoomEvent() {
	text, err := json.Marshal(occupancy.RoomEvent{
		Room: "lobby",
		Event: occupancy.Event{
			Type:      occupancy.EventUpdated,
			Occupancy: occupancy.Occupancy{Connections: 103, PresenceMembers: 95},
		},
	})
	fmt.Println(string(text), err)
	// Output: {"room":"lobby","type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}} <nil>
}

// The first batches contain the rooms that are not empty. After that, each Next returns
// the rooms that changed since the last one, once, with their newest value.
func ExampleEngine_Watch() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")
	_ = engine.Join("attic")

	watcher, err := engine.Watch()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer watcher.Close()
	list := map[string]occupancy.Occupancy{} // of all rooms
	next := func() {
		changed, err := watcher.Next(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, event := range changed {
			list[event.Room] = event.Occupancy
		}
		fmt.Println(list)
	}
	next()
	_ = engine.Leave("attic")
	next()
	// Output:
	// map[attic:{1 0 0} lobby:{1 0 0}]
	// map[attic:{0 0 0} lobby:{1 0 0}]
}

func ExampleWithPrefix() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("games/chess")
	_ = engine.Join("music/jazz")

	watcher, _ := engine.Watch(occupancy.WithPrefix("games/"))
	defer watcher.Close()
	changed, _ := watcher.Next(context.Background())
	for _, event := range changed {
		fmt.Println(event.Room, event.Occupancy)
	}
	// Output: games/chess {1 0 0}
}

// A cache of all rooms is complete once the watcher has caught up.
func ExampleWatcher_CaughtUp() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")
	_ = engine.Join("attic")

	watcher, _ := engine.Watch()
	defer watcher.Close()
	cache := map[string]occupancy.Occupancy{}
	for !watcher.CaughtUp() {
		changed, err := watcher.Next(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, event := range changed {
			cache[event.Room] = event.Occupancy
		}
	}
	fmt.Println(len(cache), "rooms")
	// Output: 2 rooms
}

// Any goroutine may close a watcher. A blocked Next returns ErrClosed.
func ExampleWatcher_Close() {
	engine := occupancy.New()
	defer engine.Close()

	watcher, _ := engine.Watch()
	go watcher.Close()
	_, err := watcher.Next(context.Background())
	fmt.Println(err, errors.Is(err, occupancy.ErrClosed))
	// Output: occupancy: closed true
}

// An engine has at most one link. Close of the link removes the other nodes' parts.
func ExampleEngine_Link() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")

	link, _ := engine.Link(nodes{"lobby": {Connections: 40}})
	_, err := engine.Link(nil)
	fmt.Println(err)
	fmt.Println(engine.Get(context.Background(), "lobby"))

	_ = link.Close()
	fmt.Println(engine.Get(context.Background(), "lobby"))
	// Output:
	// occupancy: engine is already linked
	// {41 0 0} <nil>
	// {1 0 0} <nil>
}

// A node sends its own counts to the others: the part of this process of each room.
func ExampleLink_Watch() {
	engine := occupancy.New()
	defer engine.Close()
	link, _ := engine.Link(nil)
	_ = engine.Join("lobby")
	_ = link.Remote("chat-2").Set(
		occupancy.Part{Room: "lobby", Occupancy: occupancy.Occupancy{Connections: 40}},
		occupancy.Part{Room: "attic", Occupancy: occupancy.Occupancy{Connections: 2}},
	)

	watcher, _ := link.Watch()
	defer watcher.Close()
	changed, _ := watcher.Next(context.Background())
	for _, event := range changed {
		fmt.Println(event.Room, event.Occupancy)
	}
	// Output: lobby {1 0 0}
}

// The values of a remote part are absolute, so repeating a call is harmless. Close of the
// remote removes them.
func ExampleLink_Remote() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")
	link, _ := engine.Link(nil)

	chat2 := link.Remote("chat-2")
	part := occupancy.Part{Room: "lobby", Occupancy: occupancy.Occupancy{Connections: 40, PresenceMembers: 35}}
	_ = chat2.Set(part)
	_ = chat2.Set(part)
	fmt.Println(engine.Current("lobby"))

	_ = chat2.Close()
	fmt.Println(engine.Current("lobby"))
	// Output:
	// {41 35 0}
	// {1 0 0}
}

// Parts that are refused are listed in the error. The others are set.
func ExampleRemote_Set() {
	engine := occupancy.New()
	defer engine.Close()
	link, _ := engine.Link(nil)

	chat2 := link.Remote("chat-2")
	err := chat2.Set(
		occupancy.Part{Room: "lobby", Occupancy: occupancy.Occupancy{Connections: -1}},
		occupancy.Part{Room: "attic", Occupancy: occupancy.Occupancy{Connections: 2}},
	)
	var refused *occupancy.SetError
	if errors.As(err, &refused) {
		for _, r := range refused.Refused {
			fmt.Println(chat2.Node(), r.Part.Room, r.Err)
		}
	}
	fmt.Println(errors.Is(err, occupancy.ErrCount))
	fmt.Println(engine.Current("lobby"), engine.Current("attic"))
	// Output:
	// chat-2 lobby occupancy: count is negative or greater than the maximum of a room
	// true
	// {0 0 0} {2 0 0}
}

func ExampleWithUserHash() {
	seed := maphash.MakeSeed() // a cluster needs a keyed hash that is the same on all nodes
	hash := func(clientID string) uint64 { return maphash.String(seed, clientID) }

	engine := occupancy.New(occupancy.WithUsers())
	defer engine.Close()
	link, _ := engine.Link(nil, occupancy.WithUserHash(hash))
	_, _ = engine.Connect("lobby", occupancy.As("alice"))

	// Send this process's users to the other nodes...
	entered, _ := link.UserChanges("lobby")
	fmt.Println(len(entered), "user has entered")

	// ...and count those of the others. Alice is there, too.
	_ = link.Remote("chat-2").Set(occupancy.Part{
		Room:      "lobby",
		Occupancy: occupancy.Occupancy{Connections: 1, PresenceMembers: 1},
		Users:     []uint64{hash("alice")},
	})
	fmt.Println(engine.Current("lobby"))
	// Output:
	// 1 user has entered
	// {2 2 1}
}

func ExampleRemote_Get() {
	engine := occupancy.New()
	defer engine.Close()
	link, _ := engine.Link(nil)
	chat2 := link.Remote("chat-2")
	_ = engine.Join("lobby")
	_ = chat2.Set(occupancy.Part{Room: "lobby", Occupancy: occupancy.Occupancy{Connections: 40}})

	fmt.Println(chat2.Get("lobby").Occupancy)
	for part := range chat2.All() {
		fmt.Println(part.Room, part.Occupancy.Connections)
	}
	// Output:
	// {40 0 0}
	// lobby 40
}

// After Close nothing is counted any more, and the last counts can still be read.
func ExampleEngine_Close() {
	engine := occupancy.New()
	_ = engine.Join("lobby")
	_ = engine.Close()

	fmt.Println(engine.Join("lobby"))
	fmt.Println(engine.Current("lobby"))
	// Output:
	// occupancy: closed
	// {1 0 0}
}
