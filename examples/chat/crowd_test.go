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
	"github.com/occupancy/occupancy/occupancytest"
)

// 25 clients connect to each of 20 rooms. In each room 10 clients disconnect with a close
// frame, 10 clients disconnect without a close frame, and 5 clients never read.
func TestServer_FiveHundredWebsockets(t *testing.T) {
	const rooms, clientsPerRoom, withCloseFrame, withoutCloseFrame = 20, 25, 10, 10
	l := longTimeouts
	l.closeWait = 100 * time.Millisecond
	before := runtime.NumGoroutine()
	s := start(t, l)
	name := func(room int) string { return fmt.Sprintf("room-%d", room) }

	// All clients connect, and every second client enters.
	var clients [rooms][clientsPerRoom]*websocket.Conn
	require.NoError(t, inParallel(rooms, func(room int) error {
		for i := range clientsPerRoom {
			ws, _, err := websocket.Dial(t.Context(), s.url(name(room)), &websocket.DialOptions{HTTPClient: smallBufferClient})
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
		s.waitOccupancy(name(room), clientsPerRoom, 13)
	}
	s.waitUntil(func() bool { return s.engine.Stats().Total.Connections == rooms*clientsPerRoom })
	code, body := s.get("/rooms/room-7")
	require.Equal(t, 200, code)
	require.Equal(t, `{"connections":25,"presenceMembers":13,"users":13}`, body)

	// The clients that do not read do not delay other clients.
	require.NoError(t, inParallel(rooms, func(room int) error {
		if err := send(clients[room][0], `{"type":"say","text":"hello"}`); err != nil {
			return err
		}
		for _, ws := range clients[room][:withCloseFrame+withoutCloseFrame] {
			if err := receive(ws, occupancyJSON(25, 13), chatMessage("client-0", "hello")); err != nil {
				return err
			}
		}
		return nil
	}))

	require.NoError(t, inParallel(rooms, func(room int) error {
		for i, ws := range clients[room][:withCloseFrame+withoutCloseFrame] {
			disconnect := ws.CloseNow
			if i < withCloseFrame {
				disconnect = func() error { return ws.Close(websocket.StatusNormalClosure, "") }
			}
			if err := disconnect(); err != nil {
				return err
			}
		}
		return nil
	}))
	for room := range rooms {
		s.waitOccupancy(name(room), 5, 3)
	}

	// In each room, a client sends messages until the server has disconnected the clients that
	// do not read.
	require.NoError(t, inParallel(rooms, func(room int) error {
		ws, _, err := websocket.Dial(t.Context(), s.url(name(room)), &websocket.DialOptions{HTTPClient: smallBufferClient})
		if err != nil {
			return err
		}
		onlySender := func() bool {
			return s.engine.Current(name(room)) == occupancy.Occupancy{Connections: 1, PresenceMembers: 1, Users: 1}
		}
		return errors.Join(chatUntil(ws, onlySender), ws.Close(websocket.StatusNormalClosure, ""))
	}))

	occupancytest.WaitEmpty(t, s.engine)
	s.waitUntil(func() bool { return s.engine.Stats().Rooms == 0 && s.hub.roomCount() == 0 })

	// All goroutines end.
	for _, inRoom := range clients {
		for _, ws := range inRoom {
			_ = ws.CloseNow()
		}
	}
	s.stop()
	s.waitUntil(func() bool { return runtime.NumGoroutine() <= before+1 }) // Eventually runs one goroutine
}

// inParallel calls f with 0 to n-1, each in a new goroutine.
func inParallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
