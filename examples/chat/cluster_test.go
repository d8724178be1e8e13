package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
	"github.com/occupancy/occupancy/occupancytest"
)

// The program prints errors of the cluster packages, and the corresponding flags.
func TestRun_PrintsClusterErrors(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for name, test := range map[string]struct {
		args    []string
		message string
	}{
		"no authentication": {[]string{"-cluster-client", ":0"}, `":0" is not a loopback address: WithUser, WithToken or WithTLS is required`},
		"hint":              {[]string{"-cluster-client", ":0"}, "The token is read from the environment variable CHAT_CLUSTER_TOKEN.\n"},
		"port in use":       {[]string{"-cluster-client", listener.Addr().String()}, "address already in use"},
		"address of a seed": {[]string{"-cluster-seeds", "elsewhere"}, "WithSeeds: address elsewhere: missing port"},
		"long name":         {[]string{"-name", strings.Repeat("x", 256)}, "cluster: WithName: the name must be UTF-8 of at most 255 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			args := append([]string{"-addr", "127.0.0.1:0", "-cluster", "-cluster-listen", "127.0.0.1:0", "-cluster-client", "127.0.0.1:0"}, test.args...)
			require.Equal(t, 1, run(t.Context(), args, &out))
			require.Contains(t, out.String(), test.message)
		})
	}
}

func TestRun_RejectsFlagsOfTwoBrokers(t *testing.T) {
	for _, args := range [][]string{
		{"-redis", "redis://localhost", "-nats", "localhost"}, {"-redis", "redis://localhost", "-cluster"}, {"-redis", ""},
	} {
		require.Equal(t, 2, run(t.Context(), args, io.Discard))
	}
	var out bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-redis", "http://:secret@localhost"}, &out))
	require.Contains(t, out.String(), "-redis is not a URL such as redis://")
	require.NotContains(t, out.String(), "secret")
}

func TestRun_StopsWhileConnectingToNATS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	require.Zero(t, run(ctx, []string{"-addr", "127.0.0.1:0", "-nats", freeAddress(t)}, &out))
	require.NotContains(t, out.String(), "listening")
	require.Contains(t, out.String(), "waiting for a server of the cluster before serving requests\n")
	require.Contains(t, out.String(), "stopped")
}

// The first chat server prints the flags with which another one joins the cluster. They work
// on the same machine.
func TestRun_PrintsFlagsToJoin(t *testing.T) {
	t.Setenv(tokenVariable, "secret")
	first := startRun(t, "-addr", "127.0.0.1:0", "-cluster", "-cluster-listen", "127.0.0.1:0", "-cluster-client", "127.0.0.1:0")
	hint := first.find(t, `add a chat server:  +set CHAT_CLUSTER_TOKEN and run chat (.*)`)
	second := startRun(t, strings.Fields(hint)...)
	url := second.find(t, `curl (http://.*/cluster)`)
	require.Eventually(t, func() bool {
		resp, err := http.Get(url)
		require.NoError(t, err)
		defer resp.Body.Close()
		var health struct{ Nodes int }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&health))
		return health.Nodes == 2
	}, time.Minute, 10*time.Millisecond)
	require.NotContains(t, second.find(t, `(?s)(.*)`), "all rooms are empty") // the first one may have clients
}

func TestRun_ChatServersShareMessages(t *testing.T) {
	t.Run("NATS", func(t *testing.T) {
		first := startRun(t, "-addr", "127.0.0.1:0", "-cluster", "-cluster-listen", "127.0.0.1:0", "-cluster-client", "127.0.0.1:0", "-cluster-prefix", "staging")
		nats := first.find(t, `-nats (.*)`)
		second := startRun(t, "-addr", "127.0.0.1:0", "-nats", nats, "-cluster-prefix", "staging")
		testSharedMessages(t, first, second, startRun(t, "-addr", "127.0.0.1:0", "-nats", nats))
	})
	t.Run("Redis", func(t *testing.T) {
		redis := startRedis(t)
		first := startRun(t, "-addr", "127.0.0.1:0", "-redis", redis.url(), "-cluster-prefix", "staging")
		second := startRun(t, "-addr", "127.0.0.1:0", "-redis", redis.url(), "-cluster-prefix", "staging")
		production := startRun(t, "-addr", "127.0.0.1:0", "-redis", redis.url())
		alice, bob := testSharedMessages(t, first, second, production)

		redis.kill()
		redis.start() // the chat servers connect again, and alice and bob notice nothing
		received := make(chan string)
		go func() { received <- nextMessage(t, bob) }()
		for !t.Failed() {
			require.NoError(t, send(alice, `{"type":"say","text":"again"}`))
			select {
			case message := <-received:
				require.Equal(t, chatMessage("alice", "again"), message)
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

// testSharedMessages tests that the clients of the first two chat servers can talk to each other. The
// third chat server belongs to another cluster. The function returns a client of each of the first two.
func testSharedMessages(t *testing.T, first, second, production *output) (alice, bob *websocket.Conn) {
	client := func(server *output, room, name string) *websocket.Conn {
		url := server.find(t, `open a websocket: +(ws://.*)/lobby`)
		ws, _, err := websocket.Dial(t.Context(), url+"/"+room+"?clientId="+name, nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = ws.CloseNow() })
		return ws
	}
	alice, bob = client(first, "lobby", "alice"), client(second, "lobby", "bob")
	carol, dan := client(second, "other", "carol"), client(production, "lobby", "dan")
	for _, said := range []struct {
		from *websocket.Conn
		name string
		to   []*websocket.Conn
	}{
		{alice, "alice", []*websocket.Conn{alice, bob}},
		{bob, "bob", []*websocket.Conn{bob, alice}},
		{carol, "carol", []*websocket.Conn{carol}},
		{dan, "dan", []*websocket.Conn{dan}},
	} {
		require.NoError(t, send(said.from, `{"type":"say","text":"hello"}`))
		for _, ws := range said.to {
			require.Equal(t, chatMessage(said.name, "hello"), nextMessage(t, ws), "each client receives each message of its room once")
		}
	}
	return alice, bob
}

// nextMessage returns the next chat message that the client receives.
func nextMessage(t *testing.T, ws *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, data, err := ws.Read(ctx)
		require.NoError(t, err)
		if strings.HasPrefix(string(data), `{"type":"message"`) {
			return string(data)
		}
	}
}

// output collects the output of a program.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// find waits until the output matches the pattern. It returns the first submatch.
func (o *output) find(t *testing.T, pattern string) string {
	t.Helper()
	var match []string
	require.Eventually(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		match = regexp.MustCompile(pattern).FindStringSubmatch(o.all.String())
		return match != nil
	}, time.Minute, 10*time.Millisecond, pattern)
	return match[1]
}

// startRun calls run until the end of the test.
func startRun(t *testing.T, args ...string) *output {
	ctx, cancel := context.WithCancel(context.Background())
	out, code := &output{}, make(chan int, 1)
	go func() { code <- run(ctx, args, out) }()
	t.Cleanup(func() {
		cancel()
		require.Zero(t, <-code)
	})
	return out
}

// One user who is on three chat servers is one user on each of them, also while the user's
// connections come and go.
func TestUsers_OnThreeServersCountOnce(t *testing.T) {
	bus, err := embed.Start(t.Context(), embed.WithClientListen("127.0.0.1:0"))
	require.NoError(t, err)
	defer bus.Close(context.Background())
	var servers []*testServer
	for i := range 3 {
		servers = append(servers, startWith(t, longTimeouts, clusterFlags{servers: bus.ClientURL(), name: fmt.Sprint("server", i)}))
	}
	want := func(connections, users int) {
		t.Helper()
		for _, s := range servers {
			occupancytest.Wait(t, s.engine, "lobby", occupancy.Occupancy{Connections: connections, PresenceMembers: connections, Users: users})
		}
	}
	var conns []*websocket.Conn
	for _, s := range servers {
		ws := s.dial("lobby")
		require.NoError(t, send(ws, `{"type":"enter","clientId":"ann"}`))
		conns = append(conns, ws)
	}
	want(3, 1)
	bob := servers[0].dial("lobby")
	require.NoError(t, send(bob, `{"type":"enter","clientId":"bob"}`))
	want(4, 2)
	require.NoError(t, conns[0].Close(websocket.StatusNormalClosure, ""))
	want(3, 2)
	for _, ws := range append(conns[1:], bob) {
		require.NoError(t, ws.Close(websocket.StatusNormalClosure, ""))
	}
	want(0, 0)
}

// A server that stops leaves the cluster first and then disconnects its clients. So the
// other nodes publish one event, not one event per client.
func TestStop_LeavesClusterFirst(t *testing.T) {
	bus, err := embed.Start(t.Context(), embed.WithClientListen("127.0.0.1:0"))
	require.NoError(t, err)
	defer bus.Close(context.Background())
	other := occupancy.New()
	defer other.Close()
	node, err := cluster.Start(t.Context(), other, bus)
	require.NoError(t, err)
	defer node.Close()

	l := longTimeouts
	l.closeWait = time.Second // the clients do not answer the close frames
	s := startWith(t, l, clusterFlags{servers: bus.ClientURL()})
	const clients = 3
	for range clients {
		s.dial("lobby")
	}
	occupancytest.Wait(t, other, "lobby", occupancy.Occupancy{Connections: clients})
	sub, err := other.Subscribe("lobby")
	require.NoError(t, err)
	defer sub.Unsubscribe()
	require.Equal(t, clients, (<-sub.Events()).Occupancy.Connections)
	peers := make(chan []cluster.PeerHealth, 1) // the peers at the time of the next event
	go func() {
		<-sub.Events()
		peers <- node.Health().Peers
	}()
	s.stop()
	require.Empty(t, <-peers)
	require.Zero(t, other.Current("lobby"))
}

func TestHealth_WithoutCluster(t *testing.T) {
	s := start(t, longTimeouts)
	code, body := s.get("/cluster")
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"nodes":1}`, body)
}
