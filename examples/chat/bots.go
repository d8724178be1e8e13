package main

import (
	"context"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// The bots visit botRooms and send botMessages. The page lists botRooms even if they are
// empty, so page/roomlist.js contains the same names.
var (
	botRooms    = []string{"lobby", "music", "games", "books", "night owls"}
	botMessages = []string{
		"hello, everyone", "who is new here?", "I like this room", "the numbers count me too",
		"I was in another room just now", "so many of us", "quiet today", "what did I miss?",
	}
)

// bot is a websocket client that simulates a user.
type bot struct {
	name string
	addr string
}

// run visits one room after another until ctx is done.
func (b bot) run(ctx context.Context) {
	for pause(ctx, 2*time.Second) {
		b.visit(ctx, botRooms[rand.IntN(len(botRooms))])
	}
}

// visit connects to a room, usually enters, sometimes sends messages, and disconnects. An
// error ends the visit.
func (b bot) visit(ctx context.Context, room string) {
	ws, _, err := websocket.Dial(ctx, "ws://"+b.addr+"/ws/"+url.PathEscape(room), nil)
	if err != nil {
		return
	}
	ws.SetReadLimit(8 * maxMessage) // JSON can encode one byte as six bytes
	go func() {
		for {
			if _, _, err := ws.Read(context.Background()); err != nil {
				return // the websocket is closed
			}
		}
	}()
	defer ws.Close(websocket.StatusNormalClosure, "")

	send := func(q request) bool {
		// Canceling the context of Write would close the connection without a close frame.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return ws.Write(ctx, websocket.MessageText, marshal(q)) == nil
	}
	if !pause(ctx, 3*time.Second) {
		return
	}
	if rand.IntN(5) == 0 {
		pause(ctx, 10*time.Second) // stay connected without entering
		return
	}
	if !send(request{Type: "enter", ClientID: b.name}) {
		return
	}
	for range rand.IntN(5) {
		if !pause(ctx, 8*time.Second) {
			return
		}
		if rand.IntN(3) == 0 && !send(request{Type: "say", Text: botMessages[rand.IntN(len(botMessages))]}) {
			return
		}
	}
	if send(request{Type: "exit"}) {
		pause(ctx, 4*time.Second)
	}
}

// pause waits for a random time below limit. It returns false if ctx is done first.
func pause(ctx context.Context, limit time.Duration) bool {
	t := time.NewTimer(rand.N(limit))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
