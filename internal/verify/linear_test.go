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

var histories = flag.Int("histories", 500, "number of histories of each kind that TestLinearizable records")

// scripts are the kinds of history. There are few rooms, and they are left about as often as
// joined, so they often end and begin again. With interval 0 the engine drops them
// immediately. A fault would show only within a few instructions, so the histories of few
// callers, which are quick to check, are long.
var scripts = map[string]script{
	"hooks": {
		rooms: 1, callers: 4, calls: 10,
		methods: []method{join, join, leave, leave, enter, exit, current, local, get},
	},
	"a room that often ends": {
		rooms: 1, callers: 3, calls: 100,
		methods: []method{join, leave, leave, current},
	},
	"leases": {
		rooms: 1, callers: 4, calls: 8,
		methods: []method{connect, leaseClose, leaseClose, leaseEnter, leaseExit, current, get},
	},
	"leases and hooks by name": {
		rooms: 2, callers: 4, calls: 8,
		methods: []method{connect, leaseClose, leaseEnter, leaseExit, join, leave, leave, enter, exit, exit, current},
	},
	"subscriptions": {
		rooms: 1, callers: 4, calls: 10,
		methods: []method{subscribe, unsubscribe, join, leave, enter, exit, current, local, connect, leaseClose},
	},
	"limit of two rooms": {
		rooms: 3, callers: 3, calls: 9, limit: 2,
		methods: []method{join, leave, leave, enter, exit, exit, current, subscribe, unsubscribe, connect, leaseEnter, leaseClose},
	},
	"limit of one room": {
		rooms: 2, callers: 3, calls: 100, limit: 1,
		methods: []method{join, leave, leave, enter, exit, exit, current},
	},
	"users and hooks by name": {
		rooms: 1, callers: 4, calls: 10, users: true,
		methods: []method{enter, enter, exit, exit, exit, join, leave, leaseEnter, leaseExit, leaseClose, connect, current, local, get},
	},
	"users of a room that often ends": {
		rooms: 1, callers: 3, calls: 60, users: true,
		methods: []method{enter, exit, exit, exit, current},
	},
	"leases as clients": {
		rooms: 1, callers: 4, calls: 8, users: true, as: true, most: 3,
		methods: []method{connect, connect, leaseClose, leaseClose, leaseEnter, leaseExit, current, get},
	},
	"lingering": {
		rooms: 1, callers: 4, calls: 7, users: true, as: true,
		methods: []method{connect, connect, leaseLinger, leaseLinger, leaseClose, leaseEnter, leaseExit, current},
	},
	"lingering in a full room": {
		rooms: 1, callers: 4, calls: 7, users: true, as: true, most: 2,
		methods: []method{connect, connect, leaseLinger, leaseLinger, leaseClose, current},
	},
	"lingering, without users, and hooks by name": {
		rooms: 1, callers: 4, calls: 7, as: true,
		methods: []method{connect, connect, leaseLinger, leaseLinger, leaseClose, leaseEnter, join, leave, leave, exit, exit, current},
	},
	"lingering and closing": {
		rooms: 1, callers: 4, calls: 7, users: true, as: true, closes: true,
		methods: []method{connect, connect, leaseLinger, leaseLinger, leaseClose, leaseEnter, join, leave, exit, current, subscribe},
	},
	"closing": {
		rooms: 2, callers: 4, calls: 8, closes: true,
		methods: []method{join, join, leave, enter, exit, current, local, get, connect, leaseEnter, leaseExit, leaseClose, subscribe},
	},
}

func (s script) engine() target {
	opts := []occupancy.Option{occupancy.WithInterval(0), occupancy.WithMaxRooms(s.limit)}
	if s.users {
		opts = append(opts, occupancy.WithUsers())
	}
	return newEngine(roomNames[:s.rooms], opts...)
}

// For every interleaving, the counts are the sum of the accepted calls, and no Join is lost
// to a room that is being dropped.
func TestLinearizable(t *testing.T) {
	for name, s := range scripts {
		t.Run(name, func(t *testing.T) {
			model, unknown := sequential(s), 0
			for seed := range *histories {
				target := s.engine()
				history := record(s, target, uint64(seed))
				if err := target.Close(); err != nil {
					t.Fatal(err)
				}
				switch verdict, info := porcupine.CheckOperationsVerbose(model, history, 10*time.Second); verdict {
				case porcupine.Illegal:
					t.Fatalf("no order of the calls explains history %d: see %s\n%s", seed, draw(t, model, info), list(history))
				case porcupine.Unknown:
					unknown++
				}
			}
			if unknown > 0 {
				t.Errorf("%d of %d histories took too long to check: shorten them", unknown, *histories)
			}
		})
	}
}

// draw writes a drawing of the history as an HTML file and returns its name.
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

// list returns the history as text, in the order of the calls.
func list(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, op := range history {
		fmt.Fprintf(&b, "%8d-%8d caller %d: %v: %v\n", op.Call, op.Return, op.ClientId, op.Input, op.Output)
	}
	return b.String()
}
