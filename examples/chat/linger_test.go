package main

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancytest"
)

// longLinger are limits with which a client that may come back remains counted during the test.
func longLinger() limits {
	l := longTimeouts
	l.reloadWait, l.reconnectWait = time.Hour, time.Hour
	return l
}

// dialAs connects to the room and enters in one step.
func (s *testServer) dialAs(room, clientID string) *websocket.Conn {
	s.t.Helper()
	return s.dial(room + "?clientId=" + url.QueryEscape(clientID))
}

// comeAndGo connects to the room as the client, which takes over a lease of the client that
// lingers, and disconnects.
func (s *testServer) comeAndGo(room, clientID string) {
	s.t.Helper()
	lease, err := s.engine.Connect(room, occupancy.As(clientID))
	require.NoError(s.t, err)
	require.NoError(s.t, lease.Close())
}

func TestHandshake_EntersInOneStep(t *testing.T) {
	s := start(t, longTimeouts)
	sub, err := s.engine.Subscribe("lobby")
	require.NoError(t, err)
	defer sub.Unsubscribe()
	first := <-sub.Events()
	ws := s.dialAs("lobby", "Zoë & co")
	require.NoError(t, receive(ws, occupancyJSON(1, 1)))
	event := <-sub.Events()
	require.Equal(t, occupancy.Occupancy{Connections: 1, PresenceMembers: 1, Users: 1}, event.Occupancy)
	require.Equal(t, first.Version+1, event.Version)
	require.NoError(t, send(ws, `{"type":"say","text":"hello"}`))
	require.NoError(t, receive(ws, chatMessage("Zoë \\u0026 co", "hello")))
}

func TestHandshake_InvalidClientID(t *testing.T) {
	s := start(t, longTimeouts)
	code, body := s.get("/ws/lobby?clientId=%ff")
	require.Equal(t, 400, code)
	require.Equal(t, `{"error":"`+occupancy.ErrInvalidClientID.Error()+`"}`+"\n", body)
}

func TestTwoTabs_AreOneUser(t *testing.T) {
	s := start(t, longTimeouts)
	one := s.dialAs("lobby", "alice")
	s.dialAs("lobby", "alice")
	s.dialAs("lobby", "bob")
	occupancytest.Wait(t, s.engine, "lobby", occupancy.Occupancy{Connections: 3, PresenceMembers: 3, Users: 2})
	require.NoError(t, one.Close(websocket.StatusNormalClosure, ""))
	s.waitOccupancy("lobby", 2, 2)
}

// A client remains counted if it may come back, and if the server can recognize it then.
func TestDisconnect_WhichClientsLinger(t *testing.T) {
	noFrame := websocket.StatusCode(-1)
	for name, test := range map[string]struct {
		clientID string
		code     websocket.StatusCode
		lingers  bool
	}{
		"reload or closed tab":              {"alice", websocket.StatusGoingAway, true},
		"broken network":                    {"alice", noFrame, true},
		"another room":                      {"alice", websocket.StatusNormalClosure, false},
		"reload without a nickname":         {"", websocket.StatusGoingAway, false},
		"broken network without a nickname": {"", noFrame, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, longLinger())
			ws := s.dialAs("lobby", test.clientID)
			s.waitUntil(func() bool { return s.engine.Current("lobby").Connections == 1 })
			if test.code == noFrame {
				require.NoError(t, ws.CloseNow())
			} else {
				require.NoError(t, ws.Close(test.code, ""))
			}
			s.waitUntil(func() bool { return s.hub.roomCount() == 0 && s.engine.Stats().Subscriptions == 0 })
			if test.lingers {
				s.waitUntil(func() bool { return s.engine.Stats().Lingering == 1 })
				s.waitOccupancy("lobby", 1, 1)
				s.comeAndGo("lobby", test.clientID)
			}
			s.waitOccupancy("lobby", 0, 0)
		})
	}
}

func TestClientWithoutPongs_Lingers(t *testing.T) {
	l := longLinger()
	l.pingPeriod, l.pongWait, l.closeWait = time.Millisecond, 50*time.Millisecond, time.Millisecond
	s := start(t, l)
	s.dialAs("lobby", "alice") // does not read, so it does not answer pings
	s.waitUntil(func() bool { return s.engine.Stats().Lingering == 1 })
	s.comeAndGo("lobby", "alice")
	s.waitOccupancy("lobby", 0, 0)
}

// The limits of linger end.
func TestLinger_Ends(t *testing.T) {
	for _, code := range []websocket.StatusCode{websocket.StatusGoingAway, -1} {
		l := longTimeouts
		if code == websocket.StatusGoingAway {
			l.reloadWait = time.Millisecond
		} else {
			l.reconnectWait = time.Millisecond
		}
		s := start(t, l)
		ws := s.dialAs("lobby", "alice")
		s.waitOccupancy("lobby", 1, 1)
		if code == -1 {
			require.NoError(t, ws.CloseNow())
		} else {
			require.NoError(t, ws.Close(code, ""))
		}
		s.waitOccupancy("lobby", 0, 0)
	}
}

const people = 50

func person(i int) string { return fmt.Sprintf("person-%d", i) }

// dialPeople connects 50 people to the lobby, all at once.
func (s *testServer) dialPeople() (clients [people]*websocket.Conn) {
	s.t.Helper()
	require.NoError(s.t, inParallel(people, func(i int) (err error) {
		clients[i], _, err = websocket.Dial(s.t.Context(), s.url("lobby")+"?clientId="+person(i), nil)
		return err
	}))
	return clients
}

// The network of 50 people breaks, the server notices it, and all of them reconnect. The counts
// never change.
func TestNetworkBreaks_ReconnectIsInvisible(t *testing.T) {
	s := start(t, longLinger())
	clients := s.dialPeople()
	s.waitOccupancy("lobby", people, people)
	sub, err := s.engine.Subscribe("lobby")
	require.NoError(t, err)
	defer sub.Unsubscribe()
	first := <-sub.Events()

	for range 3 {
		require.NoError(t, inParallel(people, func(i int) error { return clients[i].CloseNow() }))
		s.waitUntil(func() bool { return s.engine.Stats().Lingering == people })
		clients = s.dialPeople()
		s.waitUntil(func() bool { return s.engine.Stats().Lingering == 0 })
		s.waitOccupancy("lobby", people, people)
	}
	require.Empty(t, sub.Events())
	require.NoError(t, inParallel(people, func(i int) error { return clients[i].Close(websocket.StatusNormalClosure, "") }))
	s.waitOccupancy("lobby", 0, 0)
	require.Equal(t, first.Occupancy, occupancy.Occupancy{Connections: people, PresenceMembers: people, Users: people})
}

// The network of 50 people breaks, and they reconnect at once, maybe before the server notices
// that their old connections broke. There are always 50 users.
func TestNetworkBreaks_NeverAppearAsMoreUsers(t *testing.T) {
	s := start(t, longLinger())
	clients := s.dialPeople()
	s.waitOccupancy("lobby", people, people)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if o := s.engine.Current("lobby"); o.Users != people || o.Connections < people {
				t.Errorf("the room shows %+v", o)
				return
			}
		}
	}()
	for range 10 {
		require.NoError(t, inParallel(people, func(i int) (err error) {
			if err = clients[i].CloseNow(); err == nil {
				clients[i], _, err = websocket.Dial(t.Context(), s.url("lobby")+"?clientId="+person(i), nil)
			}
			return err
		}))
	}
	close(stop)
	<-stopped
	require.NoError(t, inParallel(people, func(i int) error { return clients[i].Close(websocket.StatusNormalClosure, "") }))
	s.waitUntil(func() bool {
		for i := range people {
			s.comeAndGo("lobby", person(i)) // ends a lease that lingers because the person came back too early
		}
		return s.engine.Current("lobby") == occupancy.Occupancy{}
	})
}

// Others do not see that a user reloads the page, even several times.
func TestPage_ReloadIsInvisible(t *testing.T) {
	browser := chromium(t)
	l := longLinger()
	l.reconnectWait = 0 // a browser that reloads a page sends a close frame
	s := start(t, l)
	address := "http://" + s.addr + "/#lobby"
	observer := open(t, browser, address)
	page := open(t, browser, address)
	observer.waitCounts("lobby", 2, 0)
	page.do(chromedp.SendKeys("#nickname", "alice"+kb.Enter))
	observer.waitCounts("lobby", 2, 1)
	observer.waitText("users", "1")
	sub, err := s.engine.Subscribe("lobby")
	require.NoError(t, err)
	defer sub.Unsubscribe()
	first := <-sub.Events()

	for i := range 3 {
		page.do(chromedp.Evaluate[chromedp.Void]("globalThis.beforeReload = true"), chromedp.Reload())
		page.waitTrue(`!globalThis.beforeReload && document.getElementById("sayForm")?.hidden === false`)
		s.waitUntil(func() bool { return s.engine.Stats().Lingering == 0 })
		text := fmt.Sprintf("hello %d", i) // proves that the page has a new websocket
		page.do(chromedp.SendKeys("#text", text+kb.Enter))
		observer.waitTrue(fmt.Sprintf(`document.querySelector("#log li:last-child .text")?.textContent === %q`, text))
	}
	page.waitCounts("lobby", 2, 1)
	page.waitText("users", "1")

	// A page that opens another room is gone at once. The version says that no event came before.
	page.do(chromedp.Evaluate[chromedp.Void](`void (location.hash = "#elsewhere")`))
	event := <-sub.Events()
	require.Equal(t, occupancy.Occupancy{Connections: 1}, event.Occupancy)
	require.Equal(t, first.Version+1, event.Version)
	page.waitCounts("elsewhere", 1, 1)
	page.do(chromedp.Evaluate[chromedp.Void](`void (location.hash = "")`))
	s.waitOccupancy("elsewhere", 0, 0)
}
