package stress

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// Watchers of different speed come and go while rooms change, end and begin again. Each
// watcher that stays must end with the right counts of every room.
func TestWatch_NoRoomIsMissedUnderLoad(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, interval} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d))
			const rooms = 200
			name := func(i int) string { return fmt.Sprint(i%7, "/room", i) }
			link := linked(t, e)
			node := link.Remote("node")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var writers, readers sync.WaitGroup
			for i := range 4 {
				writers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 10))
					var joined []string
					for range 4000 {
						room := name(r.IntN(rooms))
						switch k := r.IntN(10); {
						case k == 0:
							if err := node.Set(part(room, occ(r.IntN(3), r.IntN(3)))); err != nil {
								t.Errorf("Set: %v", err)
							}
						case k < 5 || len(joined) == 0:
							if err := e.Join(room); err != nil {
								t.Errorf("Join: %v", err)
							}
							joined = append(joined, room)
						default:
							j := r.IntN(len(joined))
							if err := e.Leave(joined[j]); err != nil {
								t.Errorf("Leave: %v", err)
							}
							joined = append(joined[:j], joined[j+1:]...)
						}
						if r.IntN(30) == 0 {
							time.Sleep(time.Duration(r.IntN(5000)) * time.Microsecond)
						}
					}
				})
			}

			seen := make([]byRoom, 20)
			prefix := func(i int) string { return []string{"", "", "3/", ""}[i%4] }
			local := func(i int) bool { return i%2 == 1 }
			for i := range seen {
				seen[i] = byRoom{}
				readers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 11))
					time.Sleep(time.Duration(r.IntN(i*10+1)) * time.Millisecond)
					w, err := link.Watch()
					if !local(i) {
						_ = w.Close()
						w, err = e.Watch(occupancy.WithPrefix(prefix(i)))
					}
					if err != nil {
						t.Errorf("Watch: %v", err)
						return
					}
					defer w.Close()
					if i >= 12 {
						time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
						return // some watchers are closed early
					}
					versions := map[string]uint64{}
					for {
						batch, err := w.Next(ctx)
						if err != nil {
							return
						}
						once := map[string]bool{}
						for _, ev := range batch {
							if once[ev.Room] {
								t.Errorf("%s is twice in a batch", ev.Room)
							}
							if v := versions[ev.Room]; v >= ev.Version {
								t.Errorf("%s: version %d after %d", ev.Room, ev.Version, v)
							}
							once[ev.Room], versions[ev.Room], seen[i][ev.Room] = true, ev.Version, ev.Occupancy
						}
						if i%3 > 0 {
							time.Sleep(time.Duration(r.IntN(i*10)) * time.Millisecond)
						}
					}
				})
			}
			writers.Wait()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			cancel()
			readers.Wait()
			for i, got := range seen[:12] {
				want := byRoom{}
				for j := range rooms {
					room := name(j)
					if p := prefix(i); len(room) < len(p) || room[:len(p)] != p {
						continue
					}
					o := e.Current(room)
					if local(i) {
						o = e.Local(room)
					}
					if o != occ(0, 0) {
						want[room] = o
					}
				}
				maps.DeleteFunc(got, func(_ string, o occupancy.Occupancy) bool { return o == occ(0, 0) })
				require.Equal(t, want, got, "watcher %d", i)
			}
			require.Zero(t, e.Stats().Watchers)
		})
	}
}
