package main

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/occupancy/occupancy"
)

// A client connects to /ws/{room}, or with a client ID to /ws/{room}?clientId=alice: then it
// enters when it connects. It sends these text messages:
//
//	{"type":"enter","clientId":"alice"}   enter the room's presence set
//	{"type":"say","text":"hello"}         send a chat message to the room
//	{"type":"exit"}                       exit the presence set and stay connected
//
// A connection has at most one client ID, which is part of each chat message. If the client
// enters with another client ID, the new client ID replaces the old one.
//
// A client receives:
//
//	{"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95,"users":90}}
//	{"type":"message","clientId":"alice","text":"hello"}
//	{"type":"error","error":"say: enter before you send messages"}
//
// The server sends "occupancy.updated" when the client connects and after each change of the
// room's occupancy. In a cluster, the event also contains the connections by node:
//
//	{"type":"occupancy.updated","occupancy":{…},"nodes":{"chat-1":60,"chat-2":43}}
//
// It sends "error" if a request is not possible at this moment; the request
// then has no effect.
//
// If a message violates this protocol, the server closes the connection with a reason and
// a close code: 1003 for a binary message, 1007 for invalid JSON, 1008 for JSON that is not
// a request, 1009 for a message over 8192 bytes.
type request struct {
	Type     string `json:"type"`
	ClientID string `json:"clientId,omitempty"`
	Text     string `json:"text,omitempty"`
}

const maxMessage = 8192 // bytes of a message from a client

// parse parses a request. It returns errors of type websocket.CloseError.
func parse(kind websocket.MessageType, data []byte) (request, error) {
	var q request
	if kind != websocket.MessageText {
		return q, closeError(websocket.StatusUnsupportedData, "messages must be JSON text")
	}
	// json.Unmarshal accepts invalid UTF-8, so check the encoding first.
	if !utf8.Valid(data) || json.Unmarshal(data, &q) != nil {
		return q, closeError(websocket.StatusInvalidFramePayloadData, "invalid JSON")
	}
	switch {
	case q.Type == "enter" && q.ClientID == "":
		return q, closeError(websocket.StatusPolicyViolation, "enter requires a clientId")
	case q.Type == "say" && q.Text == "":
		return q, closeError(websocket.StatusPolicyViolation, "say requires a text")
	case q.Type != "enter" && q.Type != "say" && q.Type != "exit":
		return q, closeError(websocket.StatusPolicyViolation, "type must be enter, say or exit")
	}
	return q, nil
}

// updateMessage is the message for an event of the room.
type updateMessage struct {
	occupancy.Event
	Nodes map[string]int `json:"nodes,omitempty"`
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

// marshal returns v as JSON. It panics if v cannot be encoded.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// closeError returns an error that ends a session. The client receives the code and the
// reason in a close frame. A reason has at most 123 bytes.
func closeError(code websocket.StatusCode, reason string) error {
	return websocket.CloseError{Code: code, Reason: reason}
}

var (
	errSlow       = closeError(websocket.StatusPolicyViolation, "too slow: too many unread messages")
	errNoPong     = closeError(websocket.StatusPolicyViolation, "no answer to a ping")
	errBroken     = closeError(websocket.StatusPolicyViolation, "the connection is broken")
	errStopping   = closeError(websocket.StatusGoingAway, "the server is stopping")
	errClientLeft = closeError(websocket.StatusNormalClosure, "")
	errGoingAway  = closeError(websocket.StatusGoingAway, "")
)

// endOf returns why a session ends if reading from the websocket fails with this error.
func endOf(err error) error {
	switch websocket.CloseStatus(err) {
	case -1: // no close frame
		return errBroken
	case websocket.StatusGoingAway:
		return errGoingAway
	}
	return errClientLeft
}

// engineCloseError converts an error of the engine to a websocket.CloseError.
func engineCloseError(err error) error {
	if errors.Is(err, occupancy.ErrClosed) {
		return errStopping
	}
	return closeError(websocket.StatusPolicyViolation, err.Error())
}
