package trending_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

const interval = 100 * time.Millisecond

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// repeat calls the hook n times for the room.
func repeat(t testing.TB, n int, hook func(string) error, room string) {
	t.Helper()
	for range n {
		must(t, hook(room))
	}
}

func newEngine(t testing.TB, opts ...occupancy.Option) *occupancy.Engine {
	e := occupancy.New(opts...)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// newBoard returns a board without a warm-up, unless an option says otherwise.
func newBoard(t testing.TB, e *occupancy.Engine, opts ...trending.Option) *trending.Board {
	b := trending.New(e, append([]trending.Option{trending.WithWarmup(0)}, opts...)...)
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

// newRemote links the engine and returns a Remote for another node.
func newRemote(t testing.TB, e *occupancy.Engine) *occupancy.Remote {
	t.Helper()
	l, err := e.Link(nil)
	must(t, err)
	return l.Remote("other node")
}

// part is a room's part of another node.
func part(room string, connections int) occupancy.Part {
	return occupancy.Part{Room: room, Occupancy: occupancy.Occupancy{Connections: connections}}
}

// enter returns a function with which the client alice enters a room.
func enter(e *occupancy.Engine) func(string) error {
	return func(room string) error { return e.Enter(room, "alice") }
}

func exit(e *occupancy.Engine) func(string) error {
	return func(room string) error { return e.Exit(room, "alice") }
}

// settle waits until the board has the events of all changes.
func settle() {
	time.Sleep(2 * interval)
	synctest.Wait()
}

// names returns the names of the rooms, separated by spaces.
func names(rooms []trending.Room) string {
	list := make([]string, len(rooms))
	for i, r := range rooms {
		list[i] = r.Name
	}
	return strings.Join(list, " ")
}

func wantTrending(t testing.TB, b *trending.Board, want string) {
	t.Helper()
	if got := names(b.Trending(100)); got != want {
		t.Fatalf("trending: %q, want %q; the rooms are %+v", got, want, b.Popular(100))
	}
}
