package main

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/occupancy/occupancy"
)

// What a client sends, each a text message of its own:
//
//	{"type":"enter","clientId":"alice"}   enter the room's presence set
//	{"type":"say","text":"hello"}         to everybody in the room
//	{"type":"exit"}                       leave the presence set, and stay connected
//
// A connection has one client id at a time, the name under which it speaks. To enter
// under another is to change it; to exit ends the one it has.
//
// What it gets:
//
//	{"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}
//	{"type":"message","clientId":"alice","text":"hello"}
//	{"type":"error","error":"enter before you say anything"}
//
// The first is the occupancy event as the engine makes it: once at the start, and
// then at every change. An error answers what came at the wrong moment, and changes
// nothing. What no client of this protocol sends ends the connection, with a close
// code and a reason: 1003 for a binary message, 1007 for what is not JSON, 1008 for
// JSON that says nothing, 1009 for a message over 8192 bytes.
type request struct {
	Type     string `json:"type"`
	ClientID string `json:"clientId,omitempty"`
	Text     string `json:"text,omitempty"`
}

const maxMessage = 8192 // bytes, of what a client sends

// parse reads a request. Its error is a goodbye.
func parse(kind websocket.MessageType, data []byte) (request, error) {
	var q request
	if kind != websocket.MessageText {
		return q, goodbye(websocket.StatusUnsupportedData, "messages are JSON text")
	}
	// encoding/json would replace what is not UTF-8 and say nothing.
	if !utf8.Valid(data) || json.Unmarshal(data, &q) != nil {
		return q, goodbye(websocket.StatusInvalidFramePayloadData, "not JSON of the form that is spoken here")
	}
	switch {
	case q.Type == "enter" && q.ClientID == "":
		return q, goodbye(websocket.StatusPolicyViolation, "enter needs a clientId")
	case q.Type == "say" && q.Text == "":
		return q, goodbye(websocket.StatusPolicyViolation, "say needs a text")
	case q.Type != "enter" && q.Type != "say" && q.Type != "exit":
		return q, goodbye(websocket.StatusPolicyViolation, "type is none of enter, say and exit")
	}
	return q, nil
}

func messageJSON(clientID, text string) []byte {
	return marshal(struct {
		Type     string `json:"type"`
		ClientID string `json:"clientId"`
		Text     string `json:"text"`
	}{"message", clientID, text})
}

func errorJSON(text string) []byte {
	return marshal(struct {
		Type  string `json:"type"`
		Error string `json:"error"`
	}{"error", text})
}

// marshal is for values that have a JSON form, whatever is in them.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// goodbye says why a connection ends, by the close frame that tells its client. The
// reason is 123 bytes at most.
func goodbye(code websocket.StatusCode, reason string) error {
	return websocket.CloseError{Code: code, Reason: reason}
}

var (
	errSlow   = goodbye(websocket.StatusPolicyViolation, "too slow: messages wait unread")
	errSilent = goodbye(websocket.StatusPolicyViolation, "no answer to a ping")
	errAway   = goodbye(websocket.StatusGoingAway, "the server stops")
	errLeft   = goodbye(websocket.StatusNormalClosure, "")
)

// refused is the goodbye for an error of the engine.
func refused(err error) error {
	if errors.Is(err, occupancy.ErrClosed) {
		return errAway
	}
	return goodbye(websocket.StatusPolicyViolation, err.Error())
}
