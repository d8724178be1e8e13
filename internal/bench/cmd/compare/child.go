package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
	"github.com/occupancy/occupancy/internal/bench/internal/workload"
)

// childArg makes this program run as a child process, which runs one workload with one
// implementation. The child writes an empty JSON array when it is ready. Then it runs a
// pass for each line of its standard input and writes the figures as a JSON array. The
// child exits at the end of its standard input.
const childArg = "-child"

// child is a running child process.
type child struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stdout  *json.Decoder
	stopped bool
}

// start starts a child and does not wait until the child is ready, so that several
// children can prepare their workloads at the same time.
func start(workloadName, implementation string, o options) (*child, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(executable, childArg, workloadName, implementation, o.perCase.String(), strconv.FormatBool(o.short))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd: cmd, stdin: stdin, stdout: json.NewDecoder(stdout)}, nil
}

// waitReady blocks until the child has prepared its workload.
func (c *child) waitReady() error {
	_, err := c.readFigures()
	return err
}

// pass makes the child run a pass and returns the figures.
func (c *child) pass() ([]float64, error) {
	if _, err := io.WriteString(c.stdin, "\n"); err != nil {
		return nil, err
	}
	return c.readFigures()
}

func (c *child) readFigures() (figures []float64, err error) {
	if err := c.stdout.Decode(&figures); err != nil {
		return nil, fmt.Errorf("the child process stopped: %w", errors.Join(err, c.stop()))
	}
	return figures, nil
}

// stop closes the child's standard input and waits until the child exits.
func (c *child) stop() error {
	if c.stopped {
		return nil
	}
	c.stopped = true
	return errors.Join(c.stdin.Close(), c.cmd.Wait())
}

// serve is the main function of a child process.
func serve(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 4 {
		return fmt.Errorf("%s needs 4 arguments, not %d", childArg, len(args))
	}
	perCase, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	short, err := strconv.ParseBool(args[3])
	if err != nil {
		return err
	}
	spec, ok := impl.ByName(args[1])
	if !ok {
		return fmt.Errorf("unknown implementation %q", args[1])
	}
	for _, w := range workload.All(size(short)) {
		if w.Name != args[0] || !w.Supports(spec) {
			continue
		}
		runner := w.Prepare(spec)
		defer runner.Close()
		encoder := json.NewEncoder(stdout)
		workload.WaitUntilIdle()
		if err := encoder.Encode([]float64{}); err != nil {
			return err
		}
		for lines := bufio.NewScanner(stdin); lines.Scan(); {
			figures := runner.Pass(perCase)
			workload.WaitUntilIdle()
			if err := encoder.Encode(figures); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s has no workload %q", spec.Name, args[0])
}
