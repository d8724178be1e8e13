// Soak loads an engine for minutes with all that an engine can meet: rooms by the
// thousand that begin and end, leases and raw hooks, other nodes' parts, subscribers
// and watchers that read, that never read, and that come and go. After each round it
// lets the engine rest and looks whether every count and every last word is right,
// and then empties it and looks whether goroutines and memory are where they began.
//
//	go run ./soak -minutes 10
//
// It prints a line a round, ends after the round in which it is interrupted, and
// exits with 1 if anything was not as it has to be.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	minutes := flag.Float64("minutes", 1, "how long, about")
	c := config{}
	flag.DurationVar(&c.load, "round", 10*time.Second, "how long each round loads the engine")
	flag.IntVar(&c.rooms, "rooms", 1000, "how many rooms live long")
	flag.DurationVar(&c.interval, "interval", 10*time.Millisecond, "the engine's interval")
	flag.Uint64Var(&c.seed, "seed", uint64(time.Now().UnixNano()), "for what is random")
	flag.Parse()
	c.total = time.Duration(*minutes * float64(time.Minute))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	if err := run(ctx, c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}
