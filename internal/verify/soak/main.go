// Soak runs an engine under load for minutes. It calls hooks, opens leases and sets the
// counts of other nodes, in thousands of rooms that often become empty. Some subscribers and
// watchers read all the time, some do not read under load, and some are closed after
// a moment. After each round soak checks all counts, and waits until every listener has
// received the final counts. Then it removes all counts and listeners, and checks that no
// goroutine and no memory is left.
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
	flag.DurationVar(&c.loadTime, "round", 10*time.Second, "duration of the load in each round")
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
