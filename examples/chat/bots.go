package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
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
	ctx    context.Context // the bots stop when it is done
	size   int
	addrs  []string    // of the chat servers to which the bots connect
	second *secondNode // nil without a cluster

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
	lostNode  = "node"    // the second node fails; the bots continue as before
	sceneTime = 30 * time.Second
)

// newCrowd returns a crowd whose bots connect to addr, and half of them to the second node if it is
// not nil, until ctx is done.
func newCrowd(ctx context.Context, size int, addr string, second *secondNode) *crowd {
	c := &crowd{ctx: ctx, size: size, addrs: []string{addr}, second: second}
	if second != nil {
		c.addrs = append(c.addrs, second.addr)
	}
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

// sceneStatus is a scene that the page can start.
type sceneStatus struct {
	Name    string `json:"name"`
	Playing bool   `json:"playing"`
}

// state returns the number of bots and the scenes. A nil crowd has no bots.
func (c *crowd) state() (bots int, scenes []sceneStatus) {
	if c == nil {
		return 0, []sceneStatus{}
	}
	now, _ := c.current()
	scenes = []sceneStatus{{raid, now.name == raid}, {network, now.name == network}}
	if c.second != nil {
		scenes = append(scenes, sceneStatus{lostNode, c.second.lost.Load()})
	}
	return c.size, scenes
}

// serveScene responds to POST /scene?name=raid.
func (c *crowd) serveScene(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	_, scenes := c.state()
	switch {
	case !slices.ContainsFunc(scenes, func(s sceneStatus) bool { return s.Name == name }):
		serveJSON(w, http.StatusNotFound, marshal(map[string]string{
			"error": fmt.Sprintf("no scene %q: raid and network require -bots, and node also requires -cluster", name),
		}))
		return
	case name == lostNode:
		c.second.fail()
	default:
		c.play(scene{name, botRooms[rand.IntN(len(botRooms))]})
	}
	w.WriteHeader(http.StatusNoContent)
}

// run runs the bots and the second node until the crowd's context is done.
func (c *crowd) run() {
	if c == nil {
		return
	}
	var wg sync.WaitGroup
	if c.second != nil {
		wg.Go(func() { c.second.run(c.ctx) })
	}
	for i := range c.size {
		own := i % len(c.addrs)
		b := bot{name: fmt.Sprintf("bot-%d", i+1), addrs: slices.Concat(c.addrs[own:], c.addrs[:own])}
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
	name  string
	addrs []string // the bot connects to the first chat server that accepts the connection
}

// dial connects to a room. The bot ignores what it receives.
func (b bot) dial(ctx context.Context, room, query string) (ws *websocket.Conn, err error) {
	for _, addr := range b.addrs {
		if ws, _, err = websocket.Dial(ctx, "ws://"+addr+"/ws/"+url.PathEscape(room)+query, nil); err == nil {
			break
		}
	}
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
func pause(ctx context.Context, limit time.Duration) bool { return sleep(ctx, rand.N(limit)) }

// sleep returns false if ctx is done before the time is over.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
