// Package occupancytest helps to test servers that embed the engine of package occupancy.
// Such tests need not sleep: [Wait] returns when a room has the expected counts, and
// [WaitEmpty] when all rooms are empty. If that does not happen within a minute, they fail
// the test and print the published counts and their times.
//
// In a bubble of [testing/synctest], the intervals and deadlines of the engine pass in
// virtual time, which takes no real time. Outside a bubble, the functions work with real
// connections. Package clustertest has similar functions for several nodes.
package occupancytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

// timeout is the time after which a wait fails. It is long, so that only a wrong count
// exceeds it, and not a slow machine.
const timeout = time.Minute

// maxLines is the maximum number of counts in the text of a failure.
const maxLines = 20

// Wait returns when the engine has published these counts of the room: the subscribers of
// the room have the counts, or will receive them when they read. Counts that are not
// published are ignored, for example those of a change that is undone within the interval.
//
// After a minute, or if the engine is closed, Wait fails the test with [testing.T.FailNow]
// and prints the counts that were published. Call it from the goroutine of the test.
func Wait(t testing.TB, e *occupancy.Engine, room string, want occupancy.Occupancy) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	watcher, err := e.Watch(occupancy.Rooms(room))
	if err != nil {
		t.Fatalf("room %q: %v", room, err)
	}
	defer watcher.Close()
	var seen []string
	for {
		events, err := watcher.Next(ctx)
		if err != nil {
			t.Fatalf("room %q does not have %+v after %v: %v; its published counts:%s", room, want, since(start), err, lines(seen))
		}
		// The selection has one room, so a batch has one event.
		if events[0].Occupancy == want {
			return
		}
		seen = append(seen, fmt.Sprintf("after %v: %+v", since(start), events[0].Occupancy))
		seen = seen[max(0, len(seen)-maxLines):]
	}
}

// WaitEmpty returns when the engine has published that all rooms are empty. At the end of a
// test, it verifies that the server has closed every lease. The engine may be closed already.
//
// After a minute, or if the closed engine has rooms, WaitEmpty fails the test with
// [testing.T.FailNow] and prints these rooms. Call it from the goroutine of the test.
func WaitEmpty(t testing.TB, e *occupancy.Engine) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	rooms := map[string]occupancy.Occupancy{}
	watcher, err := e.Watch()
	if err == nil {
		defer watcher.Close()
	}
	for err == nil && (!watcher.CaughtUp() || len(rooms) > 0) {
		var events []occupancy.RoomEvent
		events, err = watcher.Next(ctx)
		for _, event := range events {
			rooms[event.Room] = event.Occupancy
		}
		maps.DeleteFunc(rooms, func(_ string, o occupancy.Occupancy) bool { return o == occupancy.Occupancy{} })
	}
	if errors.Is(err, occupancy.ErrClosed) {
		rooms = maps.Collect(e.All())
	}
	if len(rooms) == 0 {
		return
	}
	var left []string
	for _, room := range slices.Sorted(maps.Keys(rooms))[:min(maxLines, len(rooms))] {
		left = append(left, fmt.Sprintf("%q: %+v", room, rooms[room]))
	}
	t.Fatalf("%d rooms are not empty after %v:%s", len(rooms), since(start), lines(left))
}

func since(start time.Time) time.Duration { return time.Since(start).Round(time.Millisecond) }

func lines(all []string) string { return "\n    " + strings.Join(all, "\n    ") }
