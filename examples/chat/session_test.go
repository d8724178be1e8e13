package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

func TestEnterSayExit(t *testing.T) {
	s := start(t, patient)
	alice := s.dial("lobby")
	require.NoError(t, expect(alice, occupancyJSON("1", "0")))
	bob := s.dial("lobby")
	other := s.dial("elsewhere")
	require.NoError(t, expect(alice, occupancyJSON("2", "0")))

	require.NoError(t, send(alice, `{"type":"enter","clientId":"alice"}`))
	require.NoError(t, expect(bob, occupancyJSON("2", "1")))
	require.NoError(t, send(alice, `{"type":"enter","clientId":"alice"}`)) // again: no change
	require.NoError(t, send(alice, `{"type":"say","text":"hello <all>"}`))
	for _, ws := range []*websocket.Conn{alice, bob} {
		require.NoError(t, expect(ws, said("alice", `hello \u003call\u003e`)))
	}
	require.NoError(t, send(alice, `{"type":"enter","clientId":"alicia"}`)) // changes the name
	require.NoError(t, send(alice, `{"type":"say","text":"it is me"}`))
	require.NoError(t, expect(bob, said("alicia", "it is me")))
	s.becomes("lobby", 2, 1)

	require.NoError(t, send(alice, `{"type":"exit"}`))
	require.NoError(t, expect(bob, occupancyJSON("2", "0")))
	require.NoError(t, alice.Close(websocket.StatusNormalClosure, ""))
	require.NoError(t, expect(bob, occupancyJSON("1", "0")))

	// The other room heard nothing of it.
	_, first, err := other.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, occupancyJSON("1", "0"), string(first))
	require.NoError(t, send(other, `{"type":"exit"}`))
	_, second, err := other.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, `{"type":"error","error":"exit: you have not entered"}`, string(second))
}

func TestWrongMomentIsAnsweredAndForgiven(t *testing.T) {
	s := start(t, patient)
	ws := s.dial("lobby")
	require.NoError(t, send(ws, `{"type":"say","text":"hello"}`))
	require.NoError(t, expect(ws, `{"type":"error","error":"say: enter before you say anything"}`))
	require.NoError(t, send(ws, `{"type":"exit"}`))
	require.NoError(t, expect(ws, `{"type":"error","error":"exit: you have not entered"}`))
	require.NoError(t, send(ws, `{"type":"enter","clientId":"alice"}`))
	require.NoError(t, expect(ws, occupancyJSON("1", "1")))
}

func TestGarbageIsRefusedWithAReason(t *testing.T) {
	s := start(t, patient)
	for name, test := range map[string]struct {
		message string
		code    websocket.StatusCode
		reason  string
	}{
		"empty":           {``, websocket.StatusInvalidFramePayloadData, "not JSON of the form that is spoken here"},
		"no JSON":         {`hello`, websocket.StatusInvalidFramePayloadData, "not JSON of the form that is spoken here"},
		"more than one":   {`{"type":"exit"}{"type":"exit"}`, websocket.StatusInvalidFramePayloadData, "not JSON of the form that is spoken here"},
		"no object":       {`["enter","alice"]`, websocket.StatusInvalidFramePayloadData, "not JSON of the form that is spoken here"},
		"no UTF-8":        {"{\"type\":\"enter\",\"clientId\":\"\xff\"}", websocket.StatusInvalidFramePayloadData, "not JSON of the form that is spoken here"},
		"no type":         {`{}`, websocket.StatusPolicyViolation, "type is none of enter, say and exit"},
		"null":            {`null`, websocket.StatusPolicyViolation, "type is none of enter, say and exit"},
		"unknown type":    {`{"type":"shout","text":"hello"}`, websocket.StatusPolicyViolation, "type is none of enter, say and exit"},
		"nothing to say":  {`{"type":"say"}`, websocket.StatusPolicyViolation, "say needs a text"},
		"no client id":    {`{"type":"enter","clientId":""}`, websocket.StatusPolicyViolation, "enter needs a clientId"},
		"a long clientId": {`{"type":"enter","clientId":"` + strings.Repeat("x", 1025) + `"}`, websocket.StatusPolicyViolation, "occupancy: client id is empty, over 1024 bytes or not UTF-8"},
		"a long message":  {`{"type":"say","text":"` + strings.Repeat("x", maxMessage) + `"}`, websocket.StatusMessageTooBig, "read limited at 8193 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			ws := s.dial("lobby")
			require.NoError(t, send(ws, `{"type":"enter","clientId":"alice"}`))
			require.NoError(t, send(ws, test.message))
			require.Equal(t, websocket.CloseError{Code: test.code, Reason: test.reason}, closed(t, ws))
			s.becomes("lobby", 0, 0)
		})
	}
	t.Run("binary", func(t *testing.T) {
		ws := s.dial("lobby")
		require.NoError(t, ws.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"exit"}`)))
		require.Equal(t, websocket.CloseError{Code: websocket.StatusUnsupportedData, Reason: "messages are JSON text"}, closed(t, ws))
		s.becomes("lobby", 0, 0)
	})
}

func TestLongestMessageIsTaken(t *testing.T) {
	s := start(t, patient)
	ws := s.dial("lobby")
	require.NoError(t, send(ws, `{"type":"enter","clientId":"alice"}`))
	frame := len(`{"type":"say","text":""}`)
	text := strings.Repeat("x", maxMessage-frame)
	require.NoError(t, send(ws, `{"type":"say","text":"`+text+`"}`))
	require.NoError(t, expect(ws, said("alice", text)))
}

// A client that falls behind is ended while others are not, and told why once it
// reads again.
func TestSlowClientIsTold(t *testing.T) {
	s := start(t, patient)
	slow, talker := s.dial("lobby"), s.dial("lobby")
	s.becomes("lobby", 2, 0)
	require.NoError(t, talk(talker, func() bool { return s.engine.Current("lobby").Connections == 1 }))
	require.Equal(t, errSlow, error(closed(t, slow)))
	s.becomes("lobby", 1, 1)
}

// A client that never reads again is hung up on, whatever waits to be sent to it.
func TestSlowClientIsHungUpOn(t *testing.T) {
	l := patient
	l.closeWait = time.Millisecond
	s := start(t, l)
	s.dial("lobby")
	talker := s.dial("lobby")
	s.becomes("lobby", 2, 0)
	require.NoError(t, talk(talker, func() bool { return s.engine.Current("lobby").Connections == 1 }))
	require.NoError(t, talker.Close(websocket.StatusNormalClosure, ""))
	// Stopping, at the test's end, waits for its goroutines: writeWait is an hour.
}

func TestSilentClientIsFound(t *testing.T) {
	l := patient
	l.pingEvery, l.pongWait, l.closeWait = time.Millisecond, 50*time.Millisecond, time.Millisecond
	s := start(t, l)
	s.dial("lobby")                                                // and does not read, so that it answers no ping
	s.until(func() bool { return s.engine.Stats().Delivered > 0 }) // it was counted
	s.becomes("lobby", 0, 0)
}

func TestQuietClientStays(t *testing.T) {
	l := patient
	l.pingEvery = time.Millisecond
	s := start(t, l)
	var pings atomic.Int64
	ws, _, err := websocket.Dial(t.Context(), s.url("lobby"), &websocket.DialOptions{
		OnPingReceived: func(context.Context, []byte) bool { return pings.Add(1) > 0 },
	})
	require.NoError(t, err)
	gone := make(chan error)
	go func() { gone <- expect(ws, "this is not said") }()
	s.until(func() bool { return pings.Load() > 20 })
	s.becomes("lobby", 1, 0)
	require.NoError(t, ws.CloseNow())
	<-gone
}
