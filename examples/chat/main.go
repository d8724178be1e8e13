// Chat is a complete chat server that embeds occupancy. Each websocket is a connection
// of its room, each nickname in use is a presence member, and the clients in a room
// receive its occupancy whenever it changes.
//
//	go run ./examples/chat -bots 50
//
// It serves
//
//	/                          a page that shows all rooms and chats in one of them
//	/ws/{room}                 the websocket; protocol.go describes its messages
//	/rooms/{room}/occupancy    the occupancy of a room, as JSON
//	/rooms?by=popular          the most popular rooms; also by=trending
//	/metrics                   metrics for Prometheus
//	/cluster                   the state of the cluster, as JSON
//
// Several chats can share their rooms, so that each shows the counts of all. The first one
// runs the NATS server that connects them:
//
//	go run ./examples/chat -cluster
//	go run ./examples/chat -addr localhost:8081 -nats localhost:4222
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

const usage = `Chat is a chat server that shows how many connections and members its rooms have.

Usage: chat [-addr host:port] [-bots n]
       chat -cluster [-cluster-listen host:port] [-cluster-client host:port] [-cluster-seeds list] [-name name] …
       chat -nats URLs [-name name] …

With -cluster and -nats, the environment variable ` + tokenVariable + ` is the token with which the chats
authenticate to each other. It is required if a seed listens on more than a loopback address.

`

const maxBots = 10000 // each uses two sockets of this machine

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the process
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run serves until ctx is done and returns the exit code: 0 after a clean stop, 1 after a
// failure, 2 for invalid flags.
func run(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage)
		flags.PrintDefaults()
	}
	addr := flags.String("addr", "localhost:8080", "`host:port` to listen on; port 0 selects a free port")
	bots := flags.Int("bots", 0, "number `n` of bots that chat in the rooms; each opens websockets of its own")
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
	if err := chat(ctx, ln, *bots, cluster, logger); err != nil {
		logger.Print(err)
		return 1
	}
	logger.Print("stopped")
	return 0
}

// chat joins the cluster, if there is one, and then serves on ln and runs the bots until
// ctx is done.
func chat(ctx context.Context, ln net.Listener, bots int, cluster clusterFlags, logger *log.Logger) error {
	host := clientAddress(ln.Addr())
	s := newServer(defaultLimits)
	warnings := slog.New(slog.NewTextHandler(logger.Writer(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if s.node, err = cluster.join(ctx, s.engine, ln.Addr(), warnings); err != nil {
		_, _ = ln.Close(), s.close()
		if ctx.Err() != nil {
			return nil // stopped while it waited for a NATS server
		}
		return err
	}
	serveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.serve(serveCtx, ln) }()

	logger.Printf("listening on %s", ln.Addr())
	logger.Printf("  open the page:                 http://%s/", host)
	logger.Printf("  read the occupancy of a room:  curl http://%s/rooms/lobby/occupancy", host)
	logger.Printf("  list the trending rooms:       curl 'http://%s/rooms?by=trending&limit=5'", host)
	logger.Printf("  read the Prometheus metrics:   curl http://%s/metrics", host)
	logger.Printf("  read the cluster's state:      curl http://%s/cluster", host)
	logger.Printf("  %s", s.node.joinHint())
	logger.Printf("  open a websocket:              ws://%s/ws/lobby", host)
	logger.Printf(`  and send messages to it:       {"type":"enter","clientId":"alice"} {"type":"say","text":"hello"} {"type":"exit"}`)
	if bots > 0 {
		logger.Printf("  %d bots visit the rooms %v", bots, botRooms)
	} else {
		logger.Print("  all rooms are empty: start with -bots 50 to see the numbers change")
	}

	botCtx, stopBots := context.WithCancel(ctx)
	defer stopBots()
	var running sync.WaitGroup
	for i := range bots {
		b := bot{name: fmt.Sprintf("bot-%d", i+1), host: host}
		running.Go(func() { b.run(botCtx) })
	}

	select {
	case <-ctx.Done():
		logger.Print("stopping")
	case err = <-served:
	}
	stopBots()
	running.Wait() // before the server stops, so that the bots close their websockets properly
	stop()
	if err != nil {
		return err
	}
	return <-served
}

// clientAddress returns the address at which a client on this machine reaches a listener:
// localhost if it listens on all interfaces.
func clientAddress(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
	}
	return a.String()
}
