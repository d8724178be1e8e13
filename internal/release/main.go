package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"time"
)

const usage = "usage: release prepare VERSION | consumers | api | api-update | packages"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run executes one command in the workspace that contains the working directory.
func run(ctx context.Context, args []string, out io.Writer) error {
	root, err := findRoot(".")
	if err != nil {
		return err
	}
	w, err := load(root)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 2 && args[0] == "prepare":
		return w.prepare(ctx, args[1], time.Now(), out)
	case len(args) != 1:
		return errors.New(usage)
	}
	switch args[0] {
	case "consumers":
		return w.testConsumers(ctx, forbidden, out)
	case "api":
		return w.compareAPI(ctx)
	case "api-update":
		return w.updateAPI(ctx)
	case "packages":
		for _, m := range w.public() {
			fmt.Fprintf(out, "./%s\n", path.Join(m.dir, "..."))
		}
		return nil
	}
	return errors.New(usage)
}
