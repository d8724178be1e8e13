// Chat is a real chat server that embeds occupancy: each websocket is a connection
// of its room, each nickname in use a presence member, and everybody in a room is
// told its numbers as they change.
//
//	go run ./examples/chat -bots 50
//
// A browser finds a page at http://localhost:8080/, which shows the numbers by what
// package occupancyhttp serves below /occupancy/. A program opens a websocket at
// /ws/{room}; protocol.go says what is spoken there. Anyone may ask
// /rooms/{room}/occupancy for the numbers as JSON, /rooms?by=popular and
// /rooms?by=trending for the rooms that are worth entering, /metrics for what
// Prometheus wants to know, and /cluster for who counts together.
//
// Several chats count as one: the first runs the server by which they hear of each
// other, and a browser at either page sees those of both.
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

const usage = `Chat is a chat server that counts who is in its rooms.

Usage: chat [-addr host:port] [-bots n]
       chat -cluster [-cluster-listen host:port] [-cluster-client host:port] [-cluster-seeds list] [-name name] …
       chat -nats URLs [-name name] …

In both of the latter, ` + tokenVariable + ` in the environment is what the chats log in with. Seeds that
listen on more than a loopback address must have one.

`

const maxBots = 10000 // each takes two sockets of this machine

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run is main without the process: it serves until ctx ends and returns the exit
// code, which is 0 after a clean stop, 1 after a failure and 2 for flags that make
// no sense.
func run(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage)
		flags.PrintDefaults()
	}
	addr := flags.String("addr", "localhost:8080", "listen on this `host:port`; port 0 takes a free one")
	bots := flags.Int("bots", 0, "let `n` bots wander between the rooms, each by websockets of its own")
	others := clusterFlags{token: os.Getenv(tokenVariable)}
	others.register(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	var wrong string
	switch {
	case flags.NArg() > 0:
		wrong = fmt.Sprintf("unexpected argument %q", flags.Arg(0))
	case *bots < 0 || *bots > maxBots:
		wrong = fmt.Sprintf("-bots is %d, and may be 0 to %d", *bots, maxBots)
	default:
		wrong = others.wrong(flags)
	}
	if wrong != "" {
		fmt.Fprintf(out, "%s\n\n", wrong)
		flags.Usage()
		return 2
	}

	logger := log.New(out, "", log.Ltime)
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		logger.Print(err)
		return 1
	}
	if err := chat(ctx, ln, *bots, others, logger); err != nil {
		logger.Print(err)
		return 1
	}
	logger.Print("stopped")
	return 0
}

// chat serves on ln, with so many bots, until ctx ends. It begins when it has joined
// the others.
func chat(ctx context.Context, ln net.Listener, bots int, others clusterFlags, logger *log.Logger) error {
	host := reachable(ln.Addr())
	s := newServer(defaults)
	warnings := slog.New(slog.NewTextHandler(logger.Writer(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if s.member, err = others.join(ctx, s.engine, ln.Addr(), warnings); err != nil {
		_, _ = ln.Close(), s.close()
		if ctx.Err() != nil {
			return nil // told to stop while it waited for a server
		}
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.serve(serving, ln) }()

	logger.Printf("listening on %s", ln.Addr())
	logger.Printf("  a page to chat and watch the numbers:  http://%s/", host)
	logger.Printf("  the numbers of a room:                 curl http://%s/rooms/lobby/occupancy", host)
	logger.Printf("  the rooms worth entering:              curl 'http://%s/rooms?by=trending&limit=5'", host)
	logger.Printf("  metrics for Prometheus:                curl http://%s/metrics", host)
	logger.Printf("  who counts together:                   curl http://%s/cluster", host)
	logger.Printf("  %s", s.member.says())
	logger.Printf("  a websocket to speak JSON by:          ws://%s/ws/lobby", host)
	logger.Printf(`  what to say there:                     {"type":"enter","clientId":"alice"} {"type":"say","text":"hello"} {"type":"exit"}`)
	if bots > 0 {
		logger.Printf("  %d bots wander between the rooms %v", bots, botRooms)
	} else {
		logger.Print("  nobody is in yet: start with -bots 50 to see numbers move")
	}

	wandering, halt := context.WithCancel(ctx)
	defer halt()
	var crowd sync.WaitGroup
	for i := range bots {
		b := bot{name: fmt.Sprintf("bot-%d", i+1), host: host}
		crowd.Go(func() { b.wander(wandering) })
	}

	select {
	case <-ctx.Done():
		logger.Print("stopping")
	case err = <-served:
	}
	halt()
	crowd.Wait() // while there is a server to say goodbye to
	stop()
	if err != nil {
		return err
	}
	return <-served
}

// reachable is where a client on this machine finds a listener: one that listens on
// every address is found on localhost.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
	}
	return a.String()
}
