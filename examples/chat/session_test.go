package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestSession_EnterSayExit(t *testing.T) {
	s := start(t, longTimeouts)
	alice := s.dial("lobby")
	require.NoError(t, receive(alice, occupancyJSON(1, 0)))
	bob := s.dial("lobby")
	other := s.dial("elsewhere")
	require.NoError(t, receive(alice, occupancyJSON(2, 0)))

	require.NoError(t, send(alice, `{"type":"enter","clientId":"alice"}`))
	require.NoError(t, receive(bob, occupancyJSON(2, 1)))
	require.NoError(t, send(alice, `{"type":"enter","clientId":"alice"}`)) // the second enter has no effect
	require.NoError(t, send(alice, `{"type":"say","text":"hello <all>"}`))
	for _, ws := range []*websocket.Conn{alice, bob} {
		require.NoError(t, receive(ws, chatMessage("alice", `hello \u003call\u003e`)))
	}
	require.NoError(t, send(alice, `{"type":"enter","clientId":"alicia"}`)) // replaces the client ID
	require.NoError(t, send(alice, `{"type":"say","text":"hello again"}`))
	require.NoError(t, receive(bob, chatMessage("alicia", "hello again")))
	s.waitOccupancy("lobby", 2, 1)

	require.NoError(t, send(alice, `{"type":"exit"}`))
	require.NoError(t, receive(bob, occupancyJSON(2, 0)))
	require.NoError(t, alice.Close(websocket.StatusNormalClosure, ""))
	require.NoError(t, receive(bob, occupancyJSON(1, 0)))

	// The other room has received none of these messages.
	_, first, err := other.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, occupancyJSON(1, 0), string(first))
	require.NoError(t, send(other, `{"type":"exit"}`))
	_, second, err := other.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, `{"type":"error","error":"exit: you have not entered"}`, string(second))
}

func TestRequestBeforeEnter_ReturnsErrorAndKeepsConnection(t *testing.T) {
	s := start(t, longTimeouts)
	ws := s.dial("lobby")
	require.NoError(t, send(ws, `{"type":"say","text":"hello"}`))
	require.NoError(t, receive(ws, `{"type":"error","error":"say: enter before you send messages"}`))
	require.NoError(t, send(ws, `{"type":"exit"}`))
	require.NoError(t, receive(ws, `{"type":"error","error":"exit: you have not entered"}`))
	require.NoError(t, send(ws, `{"type":"enter","clientId":"alice"}`))
	require.NoError(t, receive(ws, occupancyJSON(1, 1)))
}

func TestInvalidMessage_ClosesWithReason(t *testing.T) {
	s := start(t, longTimeouts)
	for name, test := range map[string]struct {
		message string
		code    websocket.StatusCode
		reason  string
	}{
		"empty":           {``, websocket.StatusInvalidFramePayloadData, "invalid JSON"},
		"no JSON":         {`hello`, websocket.StatusInvalidFramePayloadData, "invalid JSON"},
		"more than one":   {`{"type":"exit"}{"type":"exit"}`, websocket.StatusInvalidFramePayloadData, "invalid JSON"},
		"no object":       {`["enter","alice"]`, websocket.StatusInvalidFramePayloadData, "invalid JSON"},
		"no UTF-8":        {"{\"type\":\"enter\",\"clientId\":\"\xff\"}", websocket.StatusInvalidFramePayloadData, "invalid JSON"},
		"no type":         {`{}`, websocket.StatusPolicyViolation, "type must be enter, say or exit"},
		"null":            {`null`, websocket.StatusPolicyViolation, "type must be enter, say or exit"},
		"unknown type":    {`{"type":"shout","text":"hello"}`, websocket.StatusPolicyViolation, "type must be enter, say or exit"},
		"no text":         {`{"type":"say"}`, websocket.StatusPolicyViolation, "say requires a text"},
		"no client id":    {`{"type":"enter","clientId":""}`, websocket.StatusPolicyViolation, "enter requires a clientId"},
		"a long clientId": {`{"type":"enter","clientId":"` + strings.Repeat("x", 1025) + `"}`, websocket.StatusPolicyViolation, occupancy.ErrInvalidClientID.Error()},
		"a long message":  {`{"type":"say","text":"` + strings.Repeat("x", maxMessage) + `"}`, websocket.StatusMessageTooBig, "read limited at 8193 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			ws := s.dial("lobby")
			require.NoError(t, send(ws, `{"type":"enter","clientId":"alice"}`))
			require.NoError(t, send(ws, test.message))
			require.Equal(t, websocket.CloseError{Code: test.code, Reason: test.reason}, readClose(t, ws))
			s.waitOccupancy("lobby", 0, 0)
		})
	}
	t.Run("binary", func(t *testing.T) {
		ws := s.dial("lobby")
		require.NoError(t, ws.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"exit"}`)))
		require.Equal(t, websocket.CloseError{Code: websocket.StatusUnsupportedData, Reason: "messages must be JSON text"}, readClose(t, ws))
		s.waitOccupancy("lobby", 0, 0)
	})
}

func TestLongestMessage_IsAccepted(t *testing.T) {
	s := start(t, longTimeouts)
	ws := s.dial("lobby")
	require.NoError(t, send(ws, `{"type":"enter","clientId":"alice"}`))
	frame := len(`{"type":"say","text":""}`)
	text := strings.Repeat("x", maxMessage-frame)
	require.NoError(t, send(ws, `{"type":"say","text":"`+text+`"}`))
	require.NoError(t, receive(ws, chatMessage("alice", text)))
}

// The server closes the connection of a client that does not read. Other clients stay
// connected.
func TestSlowClient_IsClosedWithReason(t *testing.T) {
	s := start(t, longTimeouts)
	slow, sender := s.dial("lobby"), s.dial("lobby")
	s.waitOccupancy("lobby", 2, 0)
	require.NoError(t, chatUntil(sender, func() bool { return s.engine.Current("lobby").Connections == 1 }))
	require.Equal(t, errSlow, error(readClose(t, slow)))
	s.waitOccupancy("lobby", 1, 1)
}

// The server also disconnects a client that never reads the close frame.
func TestSlowClient_IsDroppedAfterCloseWait(t *testing.T) {
	l := longTimeouts
	l.closeWait = time.Millisecond
	s := start(t, l)
	s.dial("lobby")
	sender := s.dial("lobby")
	s.waitOccupancy("lobby", 2, 0)
	require.NoError(t, chatUntil(sender, func() bool { return s.engine.Current("lobby").Connections == 1 }))
	require.NoError(t, sender.Close(websocket.StatusNormalClosure, ""))
	// At the end of the test, stop waits for all sessions. If the connection were still open,
	// stop would wait for an hour: writeWait.
}

func TestClientWithoutPongs_IsDisconnected(t *testing.T) {
	l := longTimeouts
	l.pingPeriod, l.pongWait, l.closeWait = time.Millisecond, 50*time.Millisecond, time.Millisecond
	s := start(t, l)
	s.dial("lobby")                                                    // the client does not read, so it does not answer pings
	s.waitUntil(func() bool { return s.engine.Stats().Delivered > 0 }) // the client was counted
	s.waitOccupancy("lobby", 0, 0)
}

func TestClientWithPongs_StaysConnected(t *testing.T) {
	l := longTimeouts
	l.pingPeriod = time.Millisecond
	s := start(t, l)
	var pings atomic.Int64
	ws, _, err := websocket.Dial(t.Context(), s.url("lobby"), &websocket.DialOptions{
		OnPingReceived: func(context.Context, []byte) bool { return pings.Add(1) > 0 },
	})
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- receive(ws, notSent) }()
	s.waitUntil(func() bool { return pings.Load() > 20 })
	s.waitOccupancy("lobby", 1, 0)
	require.NoError(t, ws.CloseNow())
	<-ended
}
