package verify

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/occupancy/occupancy"
)

var histories = flag.Int("histories", 500, "how many histories TestLinearizable records of each kind")

// scripts are the kinds of history. Rooms are few and about as often left as joined,
// so that they end and begin again all the time; with the least interval the engine
// drops them at once. The windows in which a fault would show are a few instructions
// wide, so histories that few callers make, which are quick to check, are long.
var scripts = map[string]script{
	"hooks": {
		rooms: 1, callers: 4, calls: 10,
		verbs: []verb{join, join, leave, leave, enter, exit, current, local, get},
	},
	"a room that ends all the time": {
		rooms: 1, callers: 3, calls: 100,
		verbs: []verb{join, leave, leave, current},
	},
	"leases": {
		rooms: 1, callers: 4, calls: 8,
		verbs: []verb{connect, connClose, connClose, connEnter, connExit, current, get},
	},
	"leases robbed by hooks": {
		rooms: 2, callers: 4, calls: 8,
		verbs: []verb{connect, connClose, connEnter, connExit, join, leave, leave, enter, exit, exit, current},
	},
	"subscriptions": {
		rooms: 1, callers: 4, calls: 10,
		verbs: []verb{subscribe, unsubscribe, join, leave, enter, exit, current, local, connect, connClose},
	},
	"as many rooms as allowed": {
		rooms: 3, callers: 3, calls: 9, limit: 2,
		verbs: []verb{join, leave, leave, enter, exit, exit, current, subscribe, unsubscribe, connect, connEnter, connClose},
	},
	"one room at a time": {
		rooms: 2, callers: 3, calls: 100, limit: 1,
		verbs: []verb{join, leave, leave, enter, exit, exit, current},
	},
	"closing": {
		rooms: 2, callers: 4, calls: 8, closes: true,
		verbs: []verb{join, join, leave, enter, exit, current, local, get, connect, connEnter, connExit, connClose, subscribe},
	},
}

func (s script) engine() target {
	return newEngine(roomNames[:s.rooms], occupancy.WithInterval(0), occupancy.WithMaxRooms(s.limit))
}

// Promise 1: whatever the interleaving, the calls that were accepted, and only
// those, add up, and no Join is lost to a room that is being dropped.
func TestLinearizable(t *testing.T) {
	for name, s := range scripts {
		t.Run(name, func(t *testing.T) {
			model, unknown := sequential(s.limit), 0
			for seed := range *histories {
				target := s.engine()
				history := record(s, target, uint64(seed))
				if err := target.Close(); err != nil {
					t.Fatal(err)
				}
				switch verdict, info := porcupine.CheckOperationsVerbose(model, history, 10*time.Second); verdict {
				case porcupine.Illegal:
					t.Fatalf("history %d has no order that explains it: see %s\n%s", seed, draw(t, model, info), list(history))
				case porcupine.Unknown:
					unknown++
				}
			}
			if unknown > 0 {
				t.Errorf("%d of %d histories took too long to check: make them shorter", unknown, *histories)
			}
		})
	}
}

// draw writes a picture of the history, for a browser, and returns where.
func draw(t *testing.T, m porcupine.Model, info porcupine.LinearizationInfo) string {
	f, err := os.CreateTemp("", "history-*.html")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := porcupine.Visualize(m, info, f); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// list is the history as text, in the order of the calls.
func list(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, op := range history {
		fmt.Fprintf(&b, "%8d-%8d caller %d: %v: %v\n", op.Call, op.Return, op.ClientId, op.Input, op.Output)
	}
	return b.String()
}
