//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// fleet is chats that count together, each a process of its own.
type fleet struct {
	t      *testing.T
	binary string
	chats  []*process
}

// process is a chat of a fleet, with the websockets that are on it.
type process struct {
	fleet      *fleet
	name, host string
	args       []string
	visitors   []*visitor // the first has been there the longest; none is on a chat that is down

	cmd   *exec.Cmd
	says  *bytes.Buffer
	ended chan struct{}
}

// visitor is a websocket in a room.
type visitor struct {
	ws      *websocket.Conn
	room    string
	present bool

	mu   sync.Mutex // protects the following
	told occupancy.Occupancy
	at   time.Time // when it was told so
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, binary: filepath.Join(t.TempDir(), "chat")}
	out, err := exec.Command("go", "build", "-o", f.binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() {
		for _, p := range f.chats {
			if p.cmd != nil {
				p.kill()
			}
		}
	})
	return f
}

// add has one more chat, which is not up yet.
func (f *fleet) add(name string, args ...string) *process {
	p := &process{fleet: f, name: name, host: freeAddress(f.t), args: args}
	f.chats = append(f.chats, p)
	return p
}

// freeAddress is one to listen at, now and after a restart: no connection out takes its
// port meanwhile, since the system draws those from above.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if ln, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, ln.Close())
			return address
		}
	}
}

// up starts the chat, and returns when it serves.
func (p *process) up() {
	t := p.fleet.t
	t.Helper()
	p.cmd = exec.Command(p.fleet.binary, append([]string{"-addr", p.host, "-name", p.name}, p.args...)...)
	p.says, p.ended = new(bytes.Buffer), make(chan struct{})
	p.cmd.Stderr = p.says
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	p.fleet.until("chat serves", func() error {
		select {
		case <-p.ended:
			require.Failf(t, "ended", "%s: %s", p.name, p.says)
		default:
		}
		_, err := p.health()
		return err
	})
}

// down is called when the process is ended: its websockets are gone, too.
func (p *process) down() {
	<-p.ended
	p.cmd = nil
	for _, v := range p.visitors {
		_ = v.ws.CloseNow()
	}
	p.visitors = nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.down()
}

func (p *process) signal(s syscall.Signal) { require.NoError(p.fleet.t, p.cmd.Process.Signal(s)) }

// visit opens so many websockets in the room; every other one enters it.
func (p *process) visit(room string, n int) {
	t := p.fleet.t
	t.Helper()
	for i := range n {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ws, _, err := websocket.Dial(ctx, "ws://"+p.host+"/ws/"+room, nil)
		cancel()
		require.NoError(t, err)
		v := &visitor{ws: ws, room: room}
		if p.visitors = append(p.visitors, v); i%2 == 1 {
			v.enter(t)
		}
		go v.listen()
	}
}

// leave closes the visitor that came last.
func (p *process) leave() {
	last := len(p.visitors) - 1
	require.NoError(p.fleet.t, p.visitors[last].ws.CloseNow())
	p.visitors = p.visitors[:last]
}

func (v *visitor) listen() {
	for {
		_, data, err := v.ws.Read(context.Background())
		if err != nil {
			return
		}
		var e occupancy.Event
		if json.Unmarshal(data, &e) != nil || e.Type != occupancy.EventUpdated {
			continue
		}
		v.mu.Lock()
		v.told, v.at = e.Occupancy, time.Now()
		v.mu.Unlock()
	}
}

func (v *visitor) last() (occupancy.Occupancy, time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.told, v.at
}

func (v *visitor) enter(t *testing.T) {
	require.NoError(t, send(v.ws, `{"type":"enter","clientId":"somebody"}`))
	v.present = true
}

func (v *visitor) exit(t *testing.T) {
	require.NoError(t, send(v.ws, `{"type":"exit"}`))
	v.present = false
}

// sum is what all chats are to tell: what there is on those given, by room.
func sum(chats []*process) map[string]occupancy.Occupancy {
	rooms := map[string]occupancy.Occupancy{}
	for _, p := range chats {
		for _, v := range p.visitors {
			o := rooms[v.room]
			o.Connections++
			if v.present {
				o.PresenceMembers++
			}
			rooms[v.room] = o
		}
	}
	return rooms
}

// running is the chats that are up.
func (f *fleet) running() (running []*process) {
	for _, p := range f.chats {
		if p.cmd != nil {
			running = append(running, p)
		}
	}
	return running
}

// right waits until every chat that is up tells the sum of what is on all of them, of
// every room and of no other, as a peer in good health. It returns how long after since
// the last visitor was told of the last change.
func (f *fleet) right(since time.Time) (took time.Duration) {
	f.t.Helper()
	running := f.running()
	want := sum(running)
	f.until("numbers are right", func() error {
		took = 0
		for _, p := range running {
			for _, v := range p.visitors {
				told, at := v.last()
				if told != want[v.room] {
					return fmt.Errorf("a visitor of %s on %s was told %v, and %v is right", v.room, p.name, told, want[v.room])
				}
				took = max(took, at.Sub(since))
			}
		}
		return nil
	})
	for _, p := range running {
		f.until("nothing else is there", func() error { return p.tells(want, len(running)) })
	}
	return took
}

// tells reports whether the chat serves these numbers and no other.
func (p *process) tells(want map[string]occupancy.Occupancy, nodes int) error {
	var list struct{ Rooms []trending.Room }
	if _, err := p.get("/rooms?limit=100", &list); err != nil {
		return err
	}
	rooms := map[string]occupancy.Occupancy{}
	for _, r := range list.Rooms {
		rooms[r.Name] = r.Occupancy
	}
	if !maps.Equal(rooms, want) {
		return fmt.Errorf("%s lists %v, and %v is right", p.name, rooms, want)
	}
	for room, o := range want {
		var asked occupancy.Occupancy
		header, err := p.get("/rooms/"+room+"/occupancy", &asked)
		if err != nil {
			return err
		}
		if asked != o || header.Get("Occupancy-Partial") != "" {
			return fmt.Errorf("%s answers %v with %v, and %v is right", p.name, asked, header, o)
		}
	}
	h, err := p.health()
	if err == nil && (h.Nodes != nodes || h.Degraded || len(h.Peers) != nodes-1) {
		err = fmt.Errorf("%s has %d nodes, of %d: %s", p.name, h.Nodes, nodes, marshal(h))
	}
	return err
}

// health is what is looked at of a chat's own.
type health struct {
	Nodes    int
	Degraded bool
	Peers    []json.RawMessage
}

func (p *process) health() (h health, err error) {
	_, err = p.get("/cluster", &h)
	return h, err
}

// A stopped process takes connections, and answers none.
var impatient = &http.Client{Timeout: time.Second}

func (p *process) get(path string, into any) (http.Header, error) {
	resp, err := impatient.Get("http://" + p.host + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return resp.Header, json.NewDecoder(resp.Body).Decode(into)
}

// patience is how long what must happen may take on a machine that does much else.
const patience = time.Minute

// until waits for a condition; the error says what it lacks.
func (f *fleet) until(what string, condition func() error) {
	f.t.Helper()
	err := condition()
	for deadline := time.Now().Add(patience); err != nil; err = condition() {
		if time.Now().After(deadline) {
			for _, p := range f.running() {
				p.kill()
				f.t.Logf("%s said:\n%s", p.name, p.says)
			}
			require.NoError(f.t, err, "%s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
