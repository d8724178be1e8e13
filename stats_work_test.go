package occupancy_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
)

// refusals makes sure that each call returns the error, and reads the counts after.
func refusals(t *testing.T, e *occupancy.Engine, want error, calls ...func() error) occupancy.Refused {
	t.Helper()
	for i, call := range calls {
		if err := call(); !errors.Is(err, want) {
			t.Fatalf("call %d: %v, want %v", i, err, want)
		}
	}
	return e.Stats().Refused
}

func TestEveryRefusedHookIsCountedByItsError(t *testing.T) {
	e := occupancy.New(occupancy.WithMaxRooms(1))
	defer e.Close()
	long, r := strings.Repeat("x", 1025), e.Room("room")
	connect := func(room string) func() error {
		return func() error { _, err := e.Connect(room); return err }
	}
	lease, err := r.Connect()
	if err != nil {
		t.Fatal(err)
	}
	want := occupancy.Refused{}
	check := func(got occupancy.Refused) {
		t.Helper()
		if got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
	check(e.Stats().Refused)

	want.RoomName = 5
	check(refusals(t, e, occupancy.ErrRoomName,
		func() error { return e.Join("") }, func() error { return e.Leave(long) },
		func() error { return e.Enter("\xff") }, func() error { return e.Exit("") }, connect("")))
	want.ClientID = 1
	check(refusals(t, e, occupancy.ErrClientID, func() error { return lease.Enter("") }))
	want.TooManyRooms = 3
	check(refusals(t, e, occupancy.ErrTooManyRooms,
		func() error { return e.Join("other") }, e.Room("other").Enter, connect("other")))
	want.NotJoined = 2
	check(refusals(t, e, occupancy.ErrNotJoined,
		func() error { return e.Leave("other") }, e.Room("other").Leave))
	want.NotEntered = 4
	check(refusals(t, e, occupancy.ErrNotEntered,
		func() error { return e.Exit("other") }, func() error { return e.Exit("room") }, r.Exit,
		func() error { return lease.Exit("nobody") }))

	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	want.Closed = 2
	check(refusals(t, e, occupancy.ErrClosed,
		func() error { return lease.Enter("alice") }, func() error { return lease.Exit("alice") }))
	_ = e.Close()
	want.Closed += 4
	check(refusals(t, e, occupancy.ErrClosed,
		r.Join, r.Leave, func() error { return e.Enter("room") }, connect("room")))
	_ = lease.Close() // no hook
	check(e.Stats().Refused)
}

func TestARefusedPartOfAPeerIsNoHook(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	peer := e.Remote("peer")
	if err := peer.Set("room", occupancy.Occupancy{Connections: -1}); !errors.Is(err, occupancy.ErrCount) {
		t.Fatal(err)
	}
	if got := e.Stats().Refused; got != (occupancy.Refused{}) {
		t.Fatalf("%+v", got)
	}
}

func TestRefusedHooksAreCountedFromManyGoroutines(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				_ = e.Leave("room")
			}
		})
	}
	wg.Wait()
	if got := e.Stats().Refused; got != (occupancy.Refused{NotJoined: 8000}) {
		t.Fatalf("%+v", got)
	}
}

func TestAnAcceptedHookAndARefusedOneDoNotAllocate(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	if n := testing.AllocsPerRun(1000, func() { _ = e.Leave("room"); _ = e.Join("") }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestStatsCountRoundsAndQuietAddsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New(occupancy.WithInterval(time.Second))
		defer e.Close()
		rounds := func(want uint64) {
			t.Helper()
			synctest.Wait()
			if got := e.Stats().Rounds; got != want {
				t.Fatalf("%d rounds, want %d", got, want)
			}
		}
		rounds(0)
		s, err := e.Subscribe("room") // or nobody would be told, and the room rest for less
		if err != nil {
			t.Fatal(err)
		}
		defer s.Unsubscribe()
		rounds(0)
		_ = e.Join("room")
		rounds(1) // told at once
		_ = e.Join("room")
		rounds(1)
		time.Sleep(time.Second)
		rounds(2) // told at the end of the interval
		time.Sleep(time.Second)
		rounds(3) // let go
		time.Sleep(time.Hour)
		rounds(3)
	})
}

func TestPublishingIsTimeSpentTelling(t *testing.T) {
	began := time.Now()
	e := occupancy.New(occupancy.WithInterval(0))
	defer e.Close()
	if s := e.Stats(); s.Publishing != 0 {
		t.Fatalf("%v before anything was told", s.Publishing)
	}
	for i := range 1000 {
		if err := e.Join(strings.Repeat("x", 1+i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = e.Close() // all is told now
	if s := e.Stats(); s.Rounds == 0 || s.Publishing <= 0 || s.Publishing > time.Since(began) {
		t.Fatalf("%+v, %v since it began", s, time.Since(began))
	}
}

func TestStatsTellTheSettings(t *testing.T) {
	for _, want := range []occupancy.Stats{
		{Interval: 100 * time.Millisecond},
		{Interval: 3 * time.Second, MaxRooms: 7},
	} {
		e := occupancy.New(occupancy.WithInterval(want.Interval), occupancy.WithMaxRooms(want.MaxRooms))
		if got := e.Stats(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		_ = e.Close()
	}
	e := occupancy.New()
	defer e.Close()
	if got := e.Stats().Interval; got != 100*time.Millisecond {
		t.Errorf("%v without an option", got)
	}
}
