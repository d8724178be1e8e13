package main

import (
	"context"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// botRooms is where bots wander, and botLines what they say. The page suggests these rooms
// where they are empty: lobby.js has them, too.
var (
	botRooms = []string{"lobby", "music", "games", "books", "night owls"}
	botLines = []string{
		"hello, everyone", "who is new here?", "a good place, this", "the numbers count me too",
		"I was in another room just now", "so many of us", "quiet today", "what did I miss?",
	}
)

// bot is a client like any other: all it knows of the server is where it listens.
type bot struct {
	name string
	host string
}

// wander visits one room after another until ctx ends.
func (b bot) wander(ctx context.Context) {
	for pause(ctx, 2*time.Second) {
		b.visit(ctx, botRooms[rand.IntN(len(botRooms))])
	}
}

// visit looks into a room, mostly enters, may say something, and leaves as one should.
// Whatever goes wrong ends the visit, and the next is another try.
func (b bot) visit(ctx context.Context, room string) {
	ws, _, err := websocket.Dial(ctx, "ws://"+b.host+"/ws/"+url.PathEscape(room), nil)
	if err != nil {
		return
	}
	ws.SetReadLimit(8 * maxMessage) // JSON may spell a character in six
	go func() {
		for {
			if _, _, err := ws.Read(context.Background()); err != nil {
				return // closed, by either side
			}
		}
	}()
	defer ws.Close(websocket.StatusNormalClosure, "")

	say := func(q request) bool {
		// Not ctx itself: the websocket would be dropped where it ends, not closed.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return ws.Write(ctx, websocket.MessageText, marshal(q)) == nil
	}
	if !pause(ctx, 3*time.Second) {
		return
	}
	if rand.IntN(5) == 0 {
		pause(ctx, 10*time.Second) // only here to read
		return
	}
	if !say(request{Type: "enter", ClientID: b.name}) {
		return
	}
	for range rand.IntN(5) {
		if !pause(ctx, 8*time.Second) {
			return
		}
		if rand.IntN(3) == 0 && !say(request{Type: "say", Text: botLines[rand.IntN(len(botLines))]}) {
			return
		}
	}
	if say(request{Type: "exit"}) {
		pause(ctx, 4*time.Second)
	}
}

// pause waits for a while, of most at most, and reports false where ctx ends first.
func pause(ctx context.Context, most time.Duration) bool {
	t := time.NewTimer(rand.N(most))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
