package occupancyprom_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyprom"
	"github.com/occupancy/occupancy/trending"
)

// BenchmarkScrape measures a scrape without the network. For comparison, scan adds up the
// connections of all rooms, which a collector without Stats has to do.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		e := occupancy.New()
		for i := range n {
			must(b, e.Join(fmt.Sprintf("room-%07d", i)))
		}
		board := trending.New(e)
		top := occupancyprom.WithTopRooms(10, board)
		for name, opts := range map[string][]occupancyprom.Option{"stats": nil, "stats+10rooms": {top}} {
			b.Run(fmt.Sprintf("rooms=%d/%s", n, name), func(b *testing.B) {
				registry := prometheus.NewRegistry()
				must(b, registry.Register(occupancyprom.NewCollector(e, opts...)))
				b.ReportAllocs()
				for b.Loop() {
					families, err := registry.Gather()
					must(b, err)
					encoder := expfmt.NewEncoder(io.Discard, expfmt.NewFormat(expfmt.TypeTextPlain))
					for _, f := range families {
						must(b, encoder.Encode(f))
					}
				}
			})
		}
		b.Run(fmt.Sprintf("rooms=%d/scan", n), func(b *testing.B) {
			for b.Loop() {
				connections := 0
				for _, o := range e.All() {
					connections += o.Connections
				}
				if connections != n {
					b.Fatal(connections)
				}
			}
		})
		must(b, board.Close())
		must(b, e.Close())
	}
}
