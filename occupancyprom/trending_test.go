package occupancyprom_test

import (
	"testing"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyprom"
	"github.com/occupancy/occupancy/trending"
)

func TestTrendingCollector_ExportsStats(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	board := trending.New(e)
	must(t, e.Join("room"))
	for rooms := range board.Subscribe(trending.Popular, 1).Rooms() {
		if len(rooms) > 0 {
			break
		}
	}
	must(t, board.Close())
	s := board.Stats()
	got := values(scrape(t, occupancyprom.NewTrendingCollector(board)))
	if s.Changes != 1 || got["occupancy_trending_changes_total"] != 1 || got["occupancy_trending_busy_seconds_total"] != s.Busy.Seconds() || s.Busy <= 0 {
		t.Fatalf("%v, want %+v", got, s)
	}
}
