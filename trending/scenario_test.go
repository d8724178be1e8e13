package trending_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// world is the service of a scenario. Its clients are not distinguished.
type world struct {
	*testing.T
	engine *occupancy.Engine
	board  *trending.Board
}

// start starts a process. Its predecessor, if there is one, ends.
func (w *world) start() {
	if w.engine != nil {
		must(w, w.board.Close())
		must(w, w.engine.Close())
	}
	w.engine = newEngine(w)
	w.board = trending.New(w.engine)
	w.Cleanup(func() { must(w, w.board.Close()) })
}

// join lets n clients join the room, evenly in the time d.
func (w *world) join(room string, n int, d time.Duration) { w.repeat(w.engine.Join, room, n, d) }

// leave lets n clients leave the room, evenly in the time d.
func (w *world) leave(room string, n int, d time.Duration) { w.repeat(w.engine.Leave, room, n, d) }

func (w *world) repeat(hook func(string) error, room string, n int, d time.Duration) {
	w.Helper()
	for range n {
		must(w, hook(room))
		time.Sleep(d / time.Duration(n))
	}
}

// usually gives the rooms their usual sizes: they have them for a day.
func (w *world) usually(rooms map[string]int) {
	for room, n := range rooms {
		w.join(room, n, 0)
	}
	time.Sleep(24 * time.Hour)
}

// scenarios is the table of docs/trending.md.
var scenarios = []struct {
	name, happens, trending string
	play                    func(w *world)
}{
	{"always busy", "In `busy`, 10 of 1,000 people leave and 10 others arrive every second. `small` grows from 1 to 20 in five minutes.", "small", func(w *world) {
		w.usually(map[string]int{"busy": 1000, "small": 1})
		for i := range 600 {
			w.leave("busy", 10, 0)
			w.join("busy", 10, time.Second)
			if i >= 300 && i%15 == 0 {
				w.join("small", 1, 0)
			}
		}
	}},
	{"growth", "In ten minutes `tenfold` grows from 10 to 100, `double` from 100 to 200, and `more` from 1,000 to 1,200.", "tenfold double", func(w *world) {
		w.usually(map[string]int{"tenfold": 10, "double": 100, "more": 1000})
		for range 10 {
			w.join("tenfold", 9, 0)
			w.join("double", 10, 0)
			w.join("more", 20, time.Minute)
		}
	}},
	{"raid", "500 people arrive in `raid`, where usually 50 are, within a minute. `growth` grows from 5 to 15.", "raid growth", func(w *world) {
		w.usually(map[string]int{"raid": 50, "growth": 5})
		w.join("growth", 10, time.Minute)
		w.join("raid", 500, time.Minute)
	}},
	{"raid that left", "500 people arrive in `raid` and leave a minute later.", "", func(w *world) {
		w.usually(map[string]int{"raid": 50})
		w.join("raid", 500, time.Minute)
		w.leave("raid", 500, time.Minute)
	}},
	{"spam", "One client reconnects to `spam` four times a second for an hour. 500 people arrive in `people` within a minute.", "people", func(w *world) {
		for i := range 4 * 3600 {
			w.join("spam", 1, 125*time.Millisecond)
			w.leave("spam", 1, 125*time.Millisecond)
			if i == 4*3600-300 {
				w.join("people", 500, 0)
			}
		}
	}},
	{"a few people", "Two people meet in `pair`, where nobody was.", "", func(w *world) {
		w.join("pair", 2, time.Minute)
	}},
	{"reload", "All 100 people in `old` reload the page. All 40 people in `grown` reload it, too; ten minutes ago, five people were there.", "grown", func(w *world) {
		w.usually(map[string]int{"old": 100, "grown": 5})
		w.join("grown", 35, 10*time.Minute)
		for _, room := range []string{"old", "grown"} {
			n := w.engine.Current(room).Connections
			w.leave(room, n, 0)
			time.Sleep(200 * time.Millisecond)
			w.join(room, n, 0)
		}
	}},
	{"deploy", "The process is replaced, with `History` and `Import`, and all clients return within half a minute. `grown` had grown from 5 to 40 before.", "grown", func(w *world) {
		w.usually(map[string]int{"old": 100, "grown": 5})
		w.join("grown", 35, 10*time.Minute)
		history, _ := w.board.History()
		w.start()
		w.board.Import(history, false)
		for range 5 {
			w.join("old", 20, 3*time.Second)
			w.join("grown", 8, 3*time.Second)
		}
		time.Sleep(time.Minute)
	}},
	{"crash", "The process is replaced without its history, and all clients return within half a minute.", "", func(w *world) {
		w.usually(map[string]int{"a": 100, "b": 1000})
		w.start()
		w.join("a", 100, 15*time.Second)
		w.join("b", 1000, 15*time.Second)
		time.Sleep(5 * time.Minute)
	}},
	{"load balancer", "A load balancer restarts. The clients of all rooms are disconnected and return within two minutes.", "", func(w *world) {
		sizes := map[string]int{"a": 20, "b": 200, "c": 2000}
		w.usually(sizes)
		for room, n := range sizes {
			w.leave(room, n, 0)
		}
		for range 10 {
			for room, n := range sizes {
				w.join(room, n/10, 0)
			}
			time.Sleep(12 * time.Second)
		}
	}},
	{"network change", "200 clients connect again, half a minute before their old connections time out.", "", func(w *world) {
		w.usually(map[string]int{"room": 200})
		w.join("room", 200, 0)
		time.Sleep(30 * time.Second)
		w.leave("room", 200, 0)
	}},
	{"partition", "The node is linked to another one with 5,000 clients, loses it, and finds it again after ten minutes. `grown` grows from 5 to 20.", "grown", func(w *world) {
		w.usually(map[string]int{"room": 100, "grown": 5})
		other, crowd := newRemote(w, w.engine), []occupancy.Part{part("room", 5000)}
		w.board.Expect(crowd, 0)
		must(w, other.Set(crowd...))
		w.join("grown", 5, 10*time.Minute)
		must(w, other.Set(part("room", 0)))
		w.join("grown", 5, 10*time.Minute)
		w.board.Expect(crowd, 10*time.Minute)
		must(w, other.Set(crowd...))
		w.join("grown", 5, 10*time.Minute)
	}},
	{"day and night", "The rooms `1` to `5` grow from 100 at night to 1,000 by day. In the morning `grown` grows from 10 to 30 in ten minutes.", "grown", func(w *world) {
		w.usually(map[string]int{"1": 100, "2": 100, "3": 100, "4": 100, "5": 100, "grown": 10})
		for minute := range 2*24*60 + 6*60 {
			for room := 1; room <= 5; room++ {
				want := int(550 - 450*math.Cos(2*math.Pi*float64(minute)/(24*60)))
				name := fmt.Sprint(room)
				now := w.engine.Current(name).Connections
				w.join(name, max(0, want-now), 0)
				w.leave(name, max(0, now-want), 0)
			}
			time.Sleep(time.Minute)
		}
		w.join("grown", 20, 10*time.Minute)
	}},
	{"new service", "A service opens. In the first ten minutes 10 people arrive in `a` and 40 in `b`, and one each in 100 other rooms.", "b a", func(w *world) {
		time.Sleep(time.Minute)
		for i := range 10 {
			for room := range 10 {
				w.join(fmt.Sprint(i, room), 1, 0)
			}
			w.join("a", 1, 0)
			w.join("b", 4, time.Minute)
		}
	}},
}

// more has situations that the table of docs/trending.md does not have. The last three show
// what a board cannot know.
var more = []struct {
	name, trending string
	play           func(w *world)
}{
	{"unstable deploy: the clients connect, lose their connections and return after the warm-up", "", func(w *world) {
		w.join("a", 100, 10*time.Second)
		w.join("b", 1000, 10*time.Second)
		w.leave("a", 100, 10*time.Second)
		w.leave("b", 1000, 10*time.Second)
		time.Sleep(30 * time.Second)
		w.join("a", 100, 10*time.Second)
		w.join("b", 1000, 10*time.Second)
	}},
	{"unstable deploy with history", "grown", func(w *world) {
		w.board.Import(map[string][3]float64{"grown": {30, 33, 35}}, false)
		for range 3 {
			w.join("grown", 40, 15*time.Second)
			w.leave("grown", 40, 0)
		}
		time.Sleep(15 * time.Second)
		w.join("grown", 40, 15*time.Second)
	}},
	{"one person of a quiet room leaves in the warm-up; six arrive later", "room", func(w *world) {
		w.join("room", 3, 0)
		w.leave("room", 1, 0)
		time.Sleep(time.Hour)
		w.join("room", 6, time.Minute)
	}},
	{"flapping clients of the warm-up, then growth", "room", func(w *world) {
		for range 100 {
			w.join("room", 1, 250*time.Millisecond)
			w.leave("room", 1, 250*time.Millisecond)
		}
		w.join("room", 20, 5*time.Minute)
	}},
	{"office week: busy on five days, empty at the weekend, and on Monday as usual at noon", "", func(w *world) {
		for day := range 8 {
			if day%7 < 5 {
				time.Sleep(9 * time.Hour)
				w.join("office", 100, time.Hour)
				time.Sleep(2 * time.Hour)
				if day == 7 {
					return
				}
				time.Sleep(5 * time.Hour)
				w.leave("office", 100, time.Hour)
				time.Sleep(6 * time.Hour)
			} else {
				time.Sleep(24 * time.Hour)
			}
		}
	}},
	{"half of a room leaves and others arrive in their places", "", func(w *world) {
		w.usually(map[string]int{"room": 200})
		w.leave("room", 100, 2*time.Minute)
		w.join("room", 100, 2*time.Minute)
	}},
	{"a break of three minutes empties a room, and all return", "", func(w *world) {
		w.usually(map[string]int{"lecture": 80})
		w.leave("lecture", 80, time.Minute)
		time.Sleep(2 * time.Minute)
		w.join("lecture", 80, time.Minute)
	}},
	{"a room that was full an hour ago and emptied fills again", "show", func(w *world) {
		w.usually(map[string]int{"show": 50})
		w.leave("show", 50, time.Minute)
		time.Sleep(3 * time.Hour)
		w.join("show", 50, time.Minute)
	}},
	{"visitors of many rooms: one client joins and leaves 200 rooms", "", func(w *world) {
		time.Sleep(time.Minute)
		for i := range 2000 {
			room := fmt.Sprint("room ", i%200)
			w.join(room, 1, 100*time.Millisecond)
			w.leave(room, 1, 100*time.Millisecond)
		}
	}},
	{"200 IDs enter and leave in turns, four at a time; ten people arrive elsewhere", "people", func(w *world) {
		time.Sleep(time.Minute)
		w.join("people", 10, time.Minute)
		for range 200 {
			w.join("spam", 4, time.Second)
			w.leave("spam", 4, time.Second)
		}
	}},
	{"very small service: four people in all", "", func(w *world) {
		time.Sleep(time.Minute)
		w.join("a", 2, time.Minute)
		w.join("b", 2, time.Minute)
	}},
	{"very large service: 1 % more in a large room, twice as many in a middle one", "middle", func(w *world) {
		w.usually(map[string]int{"large": 100_000, "middle": 1000})
		w.join("large", 1000, 5*time.Minute)
		w.join("middle", 1000, 5*time.Minute)
	}},
	{"slow growth over two days", "", func(w *world) {
		w.usually(map[string]int{"room": 10})
		w.join("room", 200, 48*time.Hour)
	}},
	{"yesterday's growth is over", "", func(w *world) {
		w.usually(map[string]int{"room": 10})
		w.join("room", 200, 5*time.Minute)
		time.Sleep(24 * time.Hour)
	}},
	{"an hour after growth, newer growth of the same size comes first", "new old", func(w *world) {
		w.usually(map[string]int{"old": 10, "new": 10})
		w.join("old", 100, 5*time.Minute)
		time.Sleep(15 * time.Minute)
		w.join("new", 100, 5*time.Minute)
	}},
	{"the crowd moves from one room to another", "to", func(w *world) {
		w.usually(map[string]int{"from": 100, "to": 5})
		for range 100 {
			w.leave("from", 1, time.Second)
			w.join("to", 1, time.Second)
		}
	}},
	{"a lost node's clients arrive here and go back", "", func(w *world) {
		other, crowd := newRemote(w, w.engine), []occupancy.Part{part("room", 100)}
		must(w, other.Set(crowd...))
		w.usually(map[string]int{"room": 100})
		must(w, other.Set(part("room", 0)))
		w.join("room", 100, time.Minute)
		w.board.Expect(crowd, time.Minute)
		must(w, other.Set(crowd...))
		w.leave("room", 100, time.Minute)
	}},
	{"a show fills the same room every evening", "show", func(w *world) {
		w.usually(map[string]int{"show": 10})
		for range 7 {
			w.join("show", 200, 10*time.Minute)
			w.leave("show", 200, time.Hour)
			time.Sleep(22*time.Hour + 50*time.Minute)
		}
		w.join("show", 200, 10*time.Minute)
	}},
	{"a break of ten minutes empties a room, and all return", "lecture", func(w *world) {
		w.usually(map[string]int{"lecture": 80})
		w.leave("lecture", 80, 0)
		time.Sleep(10 * time.Minute)
		w.join("lecture", 80, 0)
	}},
	{"500 connections of one person stay", "spam", func(w *world) {
		w.usually(map[string]int{"spam": 5})
		w.join("spam", 500, time.Minute)
	}},
}

func TestTrending_MoreScenarios(t *testing.T) {
	for _, s := range more {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				w.start()
				s.play(w)
				settle()
				wantTrending(t, w.board, s.trending)
			})
		})
	}
}

// The order is the one that a person would give.
func TestTrending_Scenarios(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				w.start()
				s.play(w)
				settle()
				wantTrending(t, w.board, s.trending)
			})
		})
	}
}

func TestDocs_ShowScenarios(t *testing.T) {
	page, err := os.ReadFile("../docs/trending.md")
	must(t, err)
	for _, s := range scenarios {
		trending := strings.ReplaceAll("`"+s.trending+"`", " ", "`, `")
		if s.trending == "" {
			trending = "none"
		}
		if row := fmt.Sprintf("| %s | %s | %s |\n", s.name, s.happens, trending); !strings.Contains(string(page), row) {
			t.Errorf("docs/trending.md does not have the row\n%s", row)
		}
	}
}
