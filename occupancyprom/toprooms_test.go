package occupancyprom_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyprom"
)

// roomSeries returns the series of a collector whose top function returns the rooms.
func roomSeries(t *testing.T, k int, rooms []occupancyprom.Room) map[string]float64 {
	t.Helper()
	e := occupancy.New()
	defer e.Close()
	requested := 0
	top := func(n int) []occupancyprom.Room { requested = n; return rooms }
	families := scrape(t, occupancyprom.NewCollector(e, occupancyprom.WithTopRooms(k, top)))
	if requested != k {
		t.Fatalf("the collector requested %d rooms, want %d", requested, k)
	}
	for name := range families {
		if !strings.HasPrefix(name, "occupancy_room_") {
			delete(families, name)
		}
	}
	return values(families)
}

func rooms(names ...string) (rooms []occupancyprom.Room) {
	for i, name := range names {
		rooms = append(rooms, occupancyprom.Room{Name: name, Occupancy: occupancy.Occupancy{Connections: 100 + i, PresenceMembers: 50 + i, Users: i}})
	}
	return rooms
}

func TestTopRooms_NoneByDefault(t *testing.T) {
	for name := range scrape(t, occupancyprom.NewCollector(newBusyEngine(t))) {
		if strings.HasPrefix(name, "occupancy_room_") {
			t.Error(name)
		}
	}
}

func TestTopRooms_AtMostK(t *testing.T) {
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	for _, k := range []int{1, 20, 100, 1000} {
		got := roomSeries(t, k, rooms(names...))
		if len(got) != 3*min(k, 100) {
			t.Errorf("%d series for the top %d", len(got), k)
		}
		if got["occupancy_room_connections{room=0}"] != 100 {
			t.Errorf("the first room has no series among the top %d", k)
		}
	}
	if got := roomSeries(t, 5, nil); len(got) != 0 {
		t.Error(got)
	}
}

func TestTopRooms_OneSeriesForEachName(t *testing.T) {
	names := []string{"plain", `a"quote`, `back\slash`, "new\nline", "世界 🎲", "{x=\"y\"} 1", " ", "\x00", "\xff", "\xfe", "plain", ""}
	got := roomSeries(t, 100, rooms(names...))
	want := map[string]float64{}
	for i, name := range []string{"plain", `a"quote`, `back\slash`, "new\nline", "世界 🎲", "{x=\"y\"} 1", " ", "\x00", "\ufffd"} {
		want["occupancy_room_connections{room="+name+"}"] = float64(100 + i)
		want["occupancy_room_presence_members{room="+name+"}"] = float64(50 + i)
		want["occupancy_room_users{room="+name+"}"] = float64(i)
	}
	want["occupancy_room_connections{room=}"], want["occupancy_room_presence_members{room=}"], want["occupancy_room_users{room=}"] = 111, 61, 11
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
}

func TestTopRooms_InvalidArgumentsPanic(t *testing.T) {
	top := func(int) []occupancyprom.Room { return nil }
	for name, f := range map[string]func(){
		"zero":     func() { occupancyprom.WithTopRooms(0, top) },
		"too many": func() { occupancyprom.WithTopRooms(occupancyprom.MaxTopRooms+1, top) },
		"nil top":  func() { occupancyprom.WithTopRooms(5, nil) },
		"negative": func() { occupancyprom.WithTopRooms(-1, top) },
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
