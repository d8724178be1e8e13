package occupancyprom_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyprom"
	"github.com/occupancy/occupancy/trending"
)

// topRooms returns the series of rooms of a collector with the top k rooms of e.
func topRooms(t testing.TB, k int, e *occupancy.Engine) map[string]float64 {
	t.Helper()
	board := trending.New(e)
	defer board.Close()
	got := values(scrape(t, occupancyprom.NewCollector(e, occupancyprom.WithTopRooms(k, board))))
	maps.DeleteFunc(got, func(name string, _ float64) bool { return !strings.HasPrefix(name, "occupancy_room_") })
	return got
}

func TestTopRooms_NoneByDefault(t *testing.T) {
	for name := range scrape(t, occupancyprom.NewCollector(newBusyEngine(t))) {
		if strings.HasPrefix(name, "occupancy_room_") {
			t.Error(name)
		}
	}
}

func TestTopRooms_MostPopularK(t *testing.T) {
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	for i := range 30 {
		for range i + 1 {
			must(t, e.Join(fmt.Sprint(i)))
			must(t, e.Enter(fmt.Sprint(i), "alice"))
		}
		must(t, e.Join(fmt.Sprint(i)))
	}
	for _, k := range []int{1, 20, 30, occupancyprom.MaxTopRooms} {
		want := map[string]float64{}
		for i := max(0, 30-k); i < 30; i++ {
			want[fmt.Sprintf("occupancy_room_connections{room=%d}", i)] = float64(i + 2)
			want[fmt.Sprintf("occupancy_room_presence_members{room=%d}", i)] = float64(i + 1)
			want[fmt.Sprintf("occupancy_room_users{room=%d}", i)] = 1
		}
		if got := topRooms(t, k, e); !maps.Equal(got, want) {
			t.Errorf("the top %d:\n got %v\nwant %v", k, got, want)
		}
	}
}

func TestTopRooms_UnusualNames(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	names := []string{`a"quote`, `back\slash`, "new\nline", "世界 🎲", "{x=\"y\"} 1", " ", "\x00"}
	for _, name := range names {
		must(t, e.Join(name))
	}
	got := topRooms(t, 100, e)
	for _, name := range names {
		if got["occupancy_room_connections{room="+name+"}"] != 1 {
			t.Errorf("%q has no series", name)
		}
	}
}

func TestTopRooms_InvalidArgumentsPanic(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	board := trending.New(e)
	defer board.Close()
	for name, f := range map[string]func(){
		"zero":      func() { occupancyprom.WithTopRooms(0, board) },
		"too many":  func() { occupancyprom.WithTopRooms(occupancyprom.MaxTopRooms+1, board) },
		"nil board": func() { occupancyprom.WithTopRooms(5, nil) },
		"negative":  func() { occupancyprom.WithTopRooms(-1, board) },
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
