package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
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

// crowd is a number of bots. A scene changes for a while what they do.
type crowd struct {
	ctx  context.Context // the bots stop when it is done
	size int
	addr string

	mu       sync.Mutex // protects the following
	scene    scene
	sceneCtx context.Context // done when the scene ends
	end      context.CancelFunc
}

type scene struct {
	name string // "" if each bot does what it likes
	room string // of a raid
}

const (
	raid      = "raid"    // all bots visit one room
	network   = "network" // the connections of the bots break
	sceneTime = 30 * time.Second
)

// newCrowd returns a crowd whose bots connect to addr until ctx is done.
func newCrowd(ctx context.Context, size int, addr string) *crowd {
	c := &crowd{ctx: ctx, size: size, addr: addr}
	c.play(scene{})
	return c
}

// play ends the current scene and starts another one.
func (c *crowd) play(next scene) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		c.end()
	}
	c.scene = next
	if next.name == "" {
		c.sceneCtx, c.end = context.WithCancel(c.ctx)
		return
	}
	c.sceneCtx, c.end = context.WithTimeout(c.ctx, sceneTime)
}

// current returns the current scene. The context is done when it ends.
func (c *crowd) current() (scene, context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sceneCtx.Err() != nil && c.ctx.Err() == nil { // its time is over
		c.scene = scene{}
		c.sceneCtx, c.end = context.WithCancel(c.ctx)
	}
	return c.scene, c.sceneCtx
}

// state returns the number of bots and the name of the current scene. A nil crowd has no bots.
func (c *crowd) state() (bots int, name string) {
	if c == nil {
		return 0, ""
	}
	now, _ := c.current()
	return c.size, now.name
}

// serveScene responds to POST /scene?name=raid.
func (c *crowd) serveScene(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	switch {
	case c == nil:
		serveJSON(w, http.StatusNotFound, marshal(map[string]string{"error": "the server has no bots; start it with -bots 50"}))
	case name != raid && name != network:
		serveJSON(w, http.StatusBadRequest, marshal(map[string]string{"error": fmt.Sprintf("name is %q, must be raid or network", name)}))
	default:
		c.play(scene{name, botRooms[rand.IntN(len(botRooms))]})
		w.WriteHeader(http.StatusNoContent)
	}
}

// run runs the bots until the crowd's context is done.
func (c *crowd) run() {
	if c == nil {
		return
	}
	var wg sync.WaitGroup
	for i := range c.size {
		b := bot{name: fmt.Sprintf("bot-%d", i+1), addr: c.addr}
		home := botRooms[i%len(botRooms)]
		wg.Go(func() {
			for pause(c.ctx, 2*time.Second) {
				switch scene, ctx := c.current(); scene.name {
				case raid:
					b.visit(ctx, scene.room)
				case network:
					b.visitUntilBroken(ctx, home)
				default:
					b.visit(ctx, botRooms[rand.IntN(len(botRooms))])
				}
			}
		})
	}
	wg.Wait()
}

// bot is a websocket client that simulates a user.
type bot struct {
	name string
	addr string
}

// dial connects to a room. The bot ignores what it receives.
func (b bot) dial(ctx context.Context, room, query string) (*websocket.Conn, error) {
	ws, _, err := websocket.Dial(ctx, "ws://"+b.addr+"/ws/"+url.PathEscape(room)+query, nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(8 * maxMessage) // JSON can encode one byte as six bytes
	go func() {
		for {
			if _, _, err := ws.Read(context.Background()); err != nil {
				return // the websocket is closed
			}
		}
	}()
	return ws, nil
}

// visitUntilBroken connects to a room, and soon breaks the connection without a close frame. The
// bot stays counted if it returns to the same room in time.
func (b bot) visitUntilBroken(ctx context.Context, room string) {
	if ws, err := b.dial(ctx, room, "?clientId="+b.name); err == nil {
		pause(ctx, 6*time.Second)
		_ = ws.CloseNow()
	}
}

// visit connects to a room, usually enters, sometimes sends messages, and disconnects. An
// error ends the visit.
func (b bot) visit(ctx context.Context, room string) {
	ws, err := b.dial(ctx, room, "")
	if err != nil {
		return
	}
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
