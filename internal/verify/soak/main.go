// Soak loads an engine for minutes: thousands of rooms that begin and end, leases, hooks by
// name, remote parts of other nodes, subscribers and watchers that read, that never read
// and that come and go. After each round it waits until the engine is idle and checks every
// count and the last value of every listener. Then it removes everything and checks that
// no goroutine and no memory is left.
//
//	go run ./soak -minutes 10
//
// It prints one line for each round, and ends after the round in which it is interrupted.
// The exit status is 1 if a check failed.
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
	minutes := flag.Float64("minutes", 1, "approximate duration in minutes")
	c := config{}
	flag.DurationVar(&c.load, "round", 10*time.Second, "duration of the load in each round")
	flag.IntVar(&c.rooms, "rooms", 1000, "number of rooms that all rounds use")
	flag.DurationVar(&c.interval, "interval", 10*time.Millisecond, "interval of the engine")
	flag.Uint64Var(&c.seed, "seed", uint64(time.Now().UnixNano()), "random seed")
	flag.Parse()
	c.total = time.Duration(*minutes * float64(time.Minute))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	if err := run(ctx, c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}
