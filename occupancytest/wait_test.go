package occupancytest_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancytest"
)

// bubble runs a test with an engine in virtual time.
func bubble(t *testing.T, test func(t *testing.T, e *occupancy.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New(occupancy.WithUsers())
		defer e.Close()
		test(t, e)
		require.Zero(t, e.Stats().Watchers)
	})
}

// fakeTB records a failure instead of failing the test.
type fakeTB struct {
	testing.TB
	failure string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure returns the text with which the function fails its test, or "".
func failure(f func(t testing.TB)) string {
	var fake fakeTB
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(&fake)
	}()
	<-ended
	return fake.failure
}

func wait(e *occupancy.Engine, room string, want occupancy.Occupancy) string {
	return failure(func(t testing.TB) { occupancytest.Wait(t, e, room, want) })
}

func waitEmpty(e *occupancy.Engine) string {
	return failure(func(t testing.TB) { occupancytest.WaitEmpty(t, e) })
}

func TestWait_ReturnsWhenPublished(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		start := time.Now()
		require.Empty(t, wait(e, "lobby", occupancy.Occupancy{})) // at once
		require.Zero(t, time.Since(start))
		sub, err := e.Subscribe("lobby")
		require.NoError(t, err)
		time.AfterFunc(3*time.Second, func() { _ = e.Join("lobby") })
		time.AfterFunc(3*time.Second+time.Millisecond, func() { _ = e.Enter("lobby", "alice") })
		want := occupancy.Occupancy{Connections: 1, PresenceMembers: 1, Users: 1}
		require.Empty(t, wait(e, "lobby", want))
		require.Equal(t, 3*time.Second+e.Interval(), time.Since(start))
		synctest.Wait()
		require.Equal(t, want, (<-sub.Events()).Occupancy)
	})
}

func TestWait_Timeout_PrintsPublishedCounts(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		for i := range 3 {
			time.AfterFunc(time.Duration(i+1)*time.Second, func() { _ = e.Join("lobby") })
		}
		require.Equal(t, `room "lobby" does not have {Connections:3 PresenceMembers:1 Users:0} after 1m0s: context deadline exceeded; its published counts:
    after 0s: {Connections:0 PresenceMembers:0 Users:0}
    after 1s: {Connections:1 PresenceMembers:0 Users:0}
    after 2s: {Connections:2 PresenceMembers:0 Users:0}
    after 3s: {Connections:3 PresenceMembers:0 Users:0}`,
			wait(e, "lobby", occupancy.Occupancy{Connections: 3, PresenceMembers: 1}))
	})
}

// The text of a failure contains only the last counts.
func TestWait_Timeout_LimitsLines(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		for i := range 50 {
			time.AfterFunc(time.Duration(i+1)*time.Second, func() { _ = e.Join("lobby") })
		}
		text := wait(e, "lobby", occupancy.Occupancy{Connections: -1})
		require.NotContains(t, text, "{Connections:30 ")
		require.Contains(t, text, "after 31s: {Connections:31 ")
		require.Contains(t, text, "after 50s: {Connections:50 ")
	})
}

func TestWait_InvalidRoomOrClosedEngine_Fails(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		require.Equal(t, `room "": `+occupancy.ErrInvalidRoom.Error(), wait(e, "", occupancy.Occupancy{}))
		time.AfterFunc(time.Second, func() { _ = e.Close() })
		require.Contains(t, wait(e, "lobby", occupancy.Occupancy{Connections: 1}), "after 1s: occupancy: closed;")
		require.Equal(t, `room "lobby": occupancy: closed`, wait(e, "lobby", occupancy.Occupancy{}))
	})
}

func TestWaitEmpty_ReturnsWhenLastLeaseIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		start := time.Now()
		require.Empty(t, waitEmpty(e)) // at once
		require.Zero(t, time.Since(start))
		for i := range 3 {
			lease, err := e.Connect(fmt.Sprint("room", i), occupancy.As("alice"))
			require.NoError(t, err)
			lease.Linger(time.Duration(i+1) * time.Second)
		}
		time.AfterFunc(time.Second, func() { _ = e.Join("late") })
		time.AfterFunc(5*time.Second, func() { _ = e.Leave("late") })
		require.Empty(t, waitEmpty(e))
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestWaitEmpty_PrintsRoomsThatAreLeft(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		for _, room := range []string{"a", "b", "c"} {
			require.NoError(t, e.Join(room))
		}
		time.AfterFunc(time.Second, func() { _ = e.Leave("a") })
		want := `2 rooms are not empty after %v:
    "b": {Connections:1 PresenceMembers:0 Users:0}
    "c": {Connections:1 PresenceMembers:0 Users:0}`
		require.Equal(t, fmt.Sprintf(want, "1m0s"), waitEmpty(e))
		require.NoError(t, e.Close())
		require.Equal(t, fmt.Sprintf(want, "0s"), waitEmpty(e))
	})
}

// The text of a failure contains only some of the rooms.
func TestWaitEmpty_LimitsLines(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		for i := range 100 {
			require.NoError(t, e.Join(fmt.Sprintf("room%02d", i)))
		}
		text := waitEmpty(e)
		require.Contains(t, text, `100 rooms are not empty`)
		require.Contains(t, text, `"room19"`)
		require.NotContains(t, text, `"room20"`)
	})
}

func TestWaitEmpty_ClosedEngine(t *testing.T) {
	bubble(t, func(t *testing.T, e *occupancy.Engine) {
		require.NoError(t, e.Join("lobby"))
		require.NoError(t, e.Leave("lobby"))
		require.NoError(t, e.Close())
		require.Empty(t, waitEmpty(e))
	})
}
