package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// TestFiveHundredWebsockets is a day of the server: 25 clients in each of 20 rooms,
// of which 10 close politely, 10 vanish without a close frame and 5 never read.
func TestFiveHundredWebsockets(t *testing.T) {
	const rooms, each, polite, vanishing = 20, 25, 10, 10
	l := patient
	l.closeWait = 100 * time.Millisecond
	before := runtime.NumGoroutine()
	s := start(t, l)
	name := func(room int) string { return fmt.Sprintf("room-%d", room) }

	// All come, and every other one enters.
	var clients [rooms][each]*websocket.Conn
	require.NoError(t, inParallel(rooms, func(room int) error {
		for i := range each {
			ws, _, err := websocket.Dial(t.Context(), s.url(name(room)), &websocket.DialOptions{HTTPClient: client})
			if err != nil {
				return err
			}
			clients[room][i] = ws
			if i%2 == 0 {
				if err := send(ws, fmt.Sprintf(`{"type":"enter","clientId":"client-%d"}`, i)); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	for room := range rooms {
		s.becomes(name(room), each, 13)
	}
	s.until(func() bool { return s.engine.Stats().Connections == rooms*each })
	code, body := s.get("/rooms/room-7/occupancy")
	require.Equal(t, 200, code)
	require.Equal(t, `{"connections":25,"presenceMembers":13}`, body)

	// Those who do not read keep nothing from those who do.
	require.NoError(t, inParallel(rooms, func(room int) error {
		if err := send(clients[room][0], `{"type":"say","text":"hello"}`); err != nil {
			return err
		}
		for _, ws := range clients[room][:polite+vanishing] {
			if err := expect(ws, occupancyJSON("25", "13"), said("client-0", "hello")); err != nil {
				return err
			}
		}
		return nil
	}))

	require.NoError(t, inParallel(rooms, func(room int) error {
		for i, ws := range clients[room][:polite+vanishing] {
			leave := ws.CloseNow
			if i < polite {
				leave = func() error { return ws.Close(websocket.StatusNormalClosure, "") }
			}
			if err := leave(); err != nil {
				return err
			}
		}
		return nil
	}))
	for room := range rooms {
		s.becomes(name(room), 5, 3)
	}

	// Somebody comes and talks, until those who do not read are ended for it.
	require.NoError(t, inParallel(rooms, func(room int) error {
		ws, _, err := websocket.Dial(t.Context(), s.url(name(room)), &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			return err
		}
		alone := func() bool {
			return s.engine.Current(name(room)) == occupancy.Occupancy{Connections: 1, PresenceMembers: 1}
		}
		return errors.Join(talk(ws, alone), ws.Close(websocket.StatusNormalClosure, ""))
	}))

	for room := range rooms {
		s.becomes(name(room), 0, 0)
	}
	s.until(func() bool { return s.engine.Stats().Rooms == 0 && s.hub.size() == 0 })
	for room, o := range s.engine.All() {
		require.Failf(t, "not empty", "%s: %+v", room, o)
	}

	// Nor is anything left that would grow with the clients that have been here.
	for _, inRoom := range clients {
		for _, ws := range inRoom {
			_ = ws.CloseNow()
		}
	}
	s.stop()
	s.until(func() bool { return runtime.NumGoroutine() <= before+1 }) // this function is on one
}

// inParallel calls f with 0 to n-1, each on a goroutine of its own.
func inParallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
