//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// fleet is a cluster of chat servers.
type fleet struct {
	t       *testing.T
	binary  string
	servers []*process

	mu          sync.Mutex // protects the following
	least, most int        // the range of the connections in all events since the last call of takeRange
}

// process is one chat server of a fleet and the clients of this server.
type process struct {
	fleet      *fleet
	binary     string
	name, addr string
	args       []string
	clients    []*chatClient // the oldest client first; empty while the process is not running

	cmd    *exec.Cmd // nil while the process is not running
	killed bool      // the process was killed and is not running
	output *bytes.Buffer
	exited chan struct{}
}

// chatClient is a websocket client in a room.
type chatClient struct {
	fleet   *fleet
	ws      *websocket.Conn
	room    string
	present bool

	mu         sync.Mutex          // protects the following
	received   occupancy.Occupancy // from the last event
	receivedAt time.Time
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, binary: build(t, ".")}
	t.Cleanup(func() {
		for _, p := range f.servers {
			if p.cmd != nil {
				p.kill()
			}
		}
	})
	return f
}

// add adds a process without starting it.
func (f *fleet) add(name string, args ...string) *process {
	p := &process{fleet: f, binary: f.binary, name: name, addr: freeAddress(f.t), args: args}
	f.servers = append(f.servers, p)
	return p
}

// start starts the process and returns when the server responds to requests.
func (p *process) start() {
	t := p.fleet.t
	t.Helper()
	p.cmd = exec.Command(p.binary, append([]string{"-addr", p.addr, "-name", p.name}, p.args...)...)
	p.killed, p.output, p.exited = false, new(bytes.Buffer), make(chan struct{})
	p.cmd.Stderr = p.output
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	p.fleet.waitUntil("the server responds to requests", func() error {
		select {
		case <-p.exited:
			require.Failf(t, "the process has exited", "%s: %s", p.name, p.output)
		default:
		}
		_, err := p.health()
		return err
	})
}

// waitExited waits until the process has exited, and removes the clients.
func (p *process) waitExited() {
	<-p.exited
	p.cmd = nil
	for _, c := range p.clients {
		_ = c.ws.CloseNow()
	}
	p.clients = nil
}

func (p *process) kill() {
	p.killed = true
	_ = p.cmd.Process.Kill()
	p.waitExited()
}

func (p *process) signal(s syscall.Signal) { require.NoError(p.fleet.t, p.cmd.Process.Signal(s)) }

// connect connects n clients to the room. Every second client enters.
func (p *process) connect(room string, n int) {
	t := p.fleet.t
	t.Helper()
	for i := range n {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		ws, _, err := websocket.Dial(ctx, "ws://"+p.addr+"/ws/"+room, nil)
		cancel()
		require.NoError(t, err)
		c := &chatClient{fleet: p.fleet, ws: ws, room: room}
		if p.clients = append(p.clients, c); i%2 == 1 {
			c.enter(t)
		}
		go c.read()
	}
}

// disconnectLast disconnects the newest client. Without a close frame the server would count it
// longer.
func (p *process) disconnectLast() {
	last := len(p.clients) - 1
	require.NoError(p.fleet.t, p.clients[last].ws.Close(websocket.StatusNormalClosure, ""))
	p.clients = p.clients[:last]
}

func (c *chatClient) read() {
	for {
		_, data, err := c.ws.Read(context.Background())
		if err != nil {
			return
		}
		var e occupancy.Event
		if json.Unmarshal(data, &e) != nil || e.Type != occupancy.EventUpdated {
			continue
		}
		c.mu.Lock()
		c.received, c.receivedAt = e.Occupancy, time.Now()
		c.mu.Unlock()
		c.fleet.mu.Lock()
		c.fleet.least, c.fleet.most = min(c.fleet.least, e.Occupancy.Connections), max(c.fleet.most, e.Occupancy.Connections)
		c.fleet.mu.Unlock()
	}
}

func (c *chatClient) last() (occupancy.Occupancy, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received, c.receivedAt
}

func (c *chatClient) enter(t *testing.T) {
	require.NoError(t, send(c.ws, `{"type":"enter","clientId":"alice"}`))
	c.present = true
}

func (c *chatClient) exit(t *testing.T) {
	require.NoError(t, send(c.ws, `{"type":"exit"}`))
	c.present = false
}

// takeRange returns the least and the largest number of connections that a client has
// received since the last call.
func (f *fleet) takeRange() (least, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	least, most = f.least, f.most
	f.least, f.most = math.MaxInt, 0
	return least, most
}

// sum returns the correct occupancy of each room: the sum of the clients of these servers.
func sum(servers []*process) map[string]occupancy.Occupancy {
	rooms := map[string]occupancy.Occupancy{}
	for _, p := range servers {
		for _, c := range p.clients {
			o := rooms[c.room]
			o.Connections++
			if c.present {
				o.PresenceMembers++
				o.Users = 1 // all clients have the same nickname
			}
			rooms[c.room] = o
		}
	}
	return rooms
}

// runningServers returns the running processes.
func (f *fleet) runningServers() (running []*process) {
	for _, p := range f.servers {
		if p.cmd != nil {
			running = append(running, p)
		}
	}
	return running
}

// missing returns the number of killed servers, which the running servers miss.
func (f *fleet) missing() (n int) {
	for _, p := range f.servers {
		if p.killed {
			n++
		}
	}
	return n
}

// waitCorrect waits until each running server shows the correct counts of all rooms, and is
// healthy unless it misses a killed server. It returns the time between since and the last
// event that any client has received.
func (f *fleet) waitCorrect(since time.Time) (took time.Duration) {
	f.t.Helper()
	servers := f.runningServers()
	want := sum(servers)
	f.waitUntil("clients receive the correct counts", func() error {
		took = 0
		for _, p := range servers {
			for _, c := range p.clients {
				received, at := c.last()
				if received != want[c.room] {
					return fmt.Errorf("a client in %s on %s received %v, want %v", c.room, p.name, received, want[c.room])
				}
				took = max(took, at.Sub(since))
			}
		}
		return nil
	})
	for _, p := range servers {
		f.waitUntil("the server shows the correct counts", func() error { return p.check(want, len(servers)) })
	}
	return took
}

// check returns an error unless the server shows exactly these counts, and is healthy unless
// it misses a killed server.
func (p *process) check(want map[string]occupancy.Occupancy, nodes int) error {
	var list struct{ Rooms []trending.Room }
	if _, err := p.get("/rooms?by=popular&limit=100", &list); err != nil {
		return err
	}
	rooms := map[string]occupancy.Occupancy{}
	for _, r := range list.Rooms {
		rooms[r.Name] = r.Occupancy
	}
	if !maps.Equal(rooms, want) {
		return fmt.Errorf("%s lists %v, want %v", p.name, rooms, want)
	}
	for room, o := range want {
		var answer occupancy.Occupancy
		header, err := p.get("/rooms/"+room+"?fresh=1", &answer)
		if err != nil {
			return err
		}
		if answer != o || (header.Get("Occupancy-Partial") != "") != (p.fleet.missing() > 0) {
			return fmt.Errorf("%s answers %v with %v, want %v", p.name, answer, header, o)
		}
	}
	h, err := p.health()
	if missing := p.fleet.missing(); err == nil && (h.Nodes != nodes || h.Degraded != (missing > 0) || len(h.Peers) != nodes-1+missing) {
		err = fmt.Errorf("%s has %d nodes, want %d: %s", p.name, h.Nodes, nodes, marshal(h))
	}
	return err
}

// health contains fields of the response to GET /cluster.
type health struct {
	Nodes    int
	Degraded bool
	Peers    []json.RawMessage
}

func (p *process) health() (h health, err error) {
	_, err = p.get("/cluster", &h)
	return h, err
}

// httpClient has a timeout, because a process that was stopped with SIGSTOP does not respond.
var httpClient = &http.Client{Timeout: time.Second}

func (p *process) get(path string, into any) (http.Header, error) {
	resp, err := httpClient.Get("http://" + p.addr + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return resp.Header, json.NewDecoder(resp.Body).Decode(into)
}

// timeout is long enough for a busy machine.
const timeout = time.Minute

// waitUntil waits until condition returns nil.
func (f *fleet) waitUntil(what string, condition func() error) {
	f.t.Helper()
	err := condition()
	for deadline := time.Now().Add(timeout); err != nil; err = condition() {
		if time.Now().After(deadline) {
			for _, p := range f.runningServers() {
				p.kill()
				f.t.Logf("output of %s:\n%s", p.name, p.output)
			}
			require.NoError(f.t, err, "%s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
