// Chat is a complete chat server that embeds occupancy. Each websocket is a connection to
// a room. Each websocket that has entered a nickname is also a presence member of the
// room; all members with the same nickname are one user. All clients in a room receive the
// room's occupancy after each change. A client that reloads its page, or whose network breaks
// for a moment, stays counted.
//
//	go run ./examples/chat -bots 50
//
// It serves
//
//	/                          a web page with a list of rooms and the chat of one room
//	/ws/{room}                 the websocket of a room; protocol.go describes the messages. Also /ws?room={room}
//	/rooms/{room}              the occupancy of a room, as JSON
//	/rooms?by=popular          the most popular rooms, or with by=trending the trending rooms, and the totals
//	/occupancy/                the streams and the browser client of package occupancyhttp
//	/status                    the number of published events, the bots, and the nodes of the cluster
//	/scene?name=raid           with POST: all bots go to one room for half a minute
//	/scene?name=network        with POST: for half a minute, the connections of the bots break
//	/scene?name=node           with POST: the second chat server stops for half a minute
//	/history?room={room}       the counts of a room and the totals in the last five minutes
//	/metrics                   metrics for Prometheus
//	/cluster                   the state of the cluster, as JSON; status 503 while counts may be incomplete
//	/ready                     status 503 until the counts of the other nodes have arrived
//
// Several chat servers can form a cluster. Each chat server then shows the counts of the
// whole cluster, and its clients receive the chat messages of all. Here the first chat server
// also runs the NATS server of the cluster:
//
//	go run ./examples/chat -cluster
//	go run ./examples/chat -addr localhost:8081 -nats localhost:4222
//
// With -redis in place of -cluster and -nats, all chat servers connect to a Redis server.
//
// With -cluster and -bots, the process also runs a second chat server, to which half of the bots
// connect. A button of the page stops it, to show what happens when a node is lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

const usage = `Chat is a chat server that shows how many connections, members and users its rooms have.

Usage: chat [-addr host:port] [-bots n]
       chat [-addr host:port] [-bots n] -cluster [-cluster-listen host:port] [-cluster-client host:port] [-cluster-seeds list] [-name name]
       chat [-addr host:port] [-bots n] -nats URLs [-name name]
       chat [-addr host:port] [-bots n] -redis URL [-name name]

The chat servers of a cluster authenticate with the token in the environment variable ` + tokenVariable + `.
The token is required if a seed listens on an address that is not a loopback address.
With -redis, the token is the password of Redis, unless the URL contains a password.

`

const maxBots = 10000 // each bot uses two sockets of this machine

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the process
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run runs the program until ctx is done. It returns the exit code: 0 after a clean stop, 1
// after a failure, 2 for invalid flags.
func run(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage)
		flags.PrintDefaults()
	}
	addr := flags.String("addr", "localhost:8080", "`host:port` to listen on; port 0 selects a free port")
	bots := flags.Int("bots", 0, "number `n` of bots; a bot is a client that connects to rooms and sends messages.\nWith -cluster, a second chat server runs in this process, and half of the bots connect to it")
	cluster := clusterFlags{token: os.Getenv(tokenVariable)}
	cluster.register(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *bots < 0 || *bots > maxBots:
		err = fmt.Errorf("-bots is %d, must be 0 to %d", *bots, maxBots)
	default:
		err = cluster.validate(flags)
	}
	if err != nil {
		fmt.Fprintf(out, "%v\n\n", err)
		flags.Usage()
		return 2
	}

	logger := log.New(out, "", log.Ltime)
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		logger.Print(err)
		return 1
	}
	if err := runServer(ctx, ln, *bots, cluster, logger); err != nil {
		logger.Print(err)
		return 1
	}
	logger.Print("stopped")
	return 0
}

// runServer joins the cluster if the flags configure one, and then serves clients on ln and
// runs the bots until ctx is done.
func runServer(ctx context.Context, ln net.Listener, bots int, cluster clusterFlags, logger *log.Logger) error {
	addr := clientAddress(ln.Addr())
	s := newServer(defaultLimits)
	warnings := slog.New(slog.NewTextHandler(logger.Writer(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if cluster.servers != "" || cluster.redis != "" {
		logger.Print("waiting for a server of the cluster before serving requests")
	}
	var err error
	if s.node, err = cluster.join(ctx, s, ln.Addr(), warnings); err != nil {
		_, _ = ln.Close(), s.close()
		if ctx.Err() != nil {
			return nil // canceled before a server of the cluster was connected
		}
		return err
	}
	botCtx, stopBots := context.WithCancel(ctx)
	defer stopBots()
	if bots > 0 {
		second, err := newSecondNode(cluster, s.node, warnings)
		if err != nil {
			_, _ = ln.Close(), s.close()
			return err
		}
		s.crowd = newCrowd(botCtx, bots, addr, second)
	}
	serveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	serveErr := make(chan error, 1)
	go func() { serveErr <- s.serve(serveCtx, ln) }()

	logger.Printf("listening on %s", ln.Addr())
	logger.Printf("  open the page:                 http://%s/", addr)
	logger.Printf("  read the occupancy of a room:  curl http://%s/rooms/lobby", addr)
	logger.Printf("  list the trending rooms:       curl 'http://%s/rooms?by=trending&limit=5'", addr)
	logger.Printf("  read the Prometheus metrics:   curl http://%s/metrics", addr)
	logger.Printf("  read the cluster's state:      curl http://%s/cluster", addr)
	logger.Printf("  %s", cluster.joinHint(s.node))
	logger.Printf("  open a websocket:              ws://%s/ws/lobby", addr)
	logger.Printf(`  and send messages to it:       {"type":"enter","clientId":"alice"} {"type":"say","text":"hello"} {"type":"exit"}`)
	if bots > 0 {
		logger.Printf("  %d bots visit the rooms %v at %v", bots, botRooms, s.crowd.addrs)
	} else if s.node == nil {
		logger.Print("  all rooms are empty; start the server with -bots 50 to fill them")
	}

	var wg sync.WaitGroup
	wg.Go(s.crowd.run)

	select {
	case <-ctx.Done():
		logger.Print("stopping")
	case err = <-serveErr:
	}
	stopBots()
	wg.Wait() // before the server stops, so that each bot sends a close frame
	stop()
	if err != nil {
		return err
	}
	return <-serveErr
}

// clientAddress returns the address to which a client on this machine connects: localhost
// if the server listens on all interfaces.
func clientAddress(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
	}
	return a.String()
}
