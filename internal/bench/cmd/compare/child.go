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

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
	"github.com/occupancy/occupancy/internal/bench/internal/work"
)

// childArg makes this program the process of one peer for one work. It says that it is
// prepared, then measures a pass for each line that it reads and answers with a line
// of JSON, the figures; and ends when there is no more to read.
const childArg = "-child"

type child struct {
	cmd   *exec.Cmd
	tell  io.WriteCloser
	hear  *json.Decoder
	ended bool
}

// start begins to prepare a child; several may prepare at once.
func start(workName, peerName string, s settings) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, childArg, workName, peerName, s.perCase.String(), strconv.FormatBool(s.short))
	cmd.Stderr = os.Stderr
	tell, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd: cmd, tell: tell, hear: json.NewDecoder(out)}, nil
}

// prepared waits until the child is.
func (c *child) prepared() error {
	_, err := c.answer()
	return err
}

func (c *child) pass() ([]float64, error) {
	if _, err := io.WriteString(c.tell, "\n"); err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *child) answer() (figures []float64, err error) {
	if err := c.hear.Decode(&figures); err != nil {
		return nil, fmt.Errorf("it ended: %w", errors.Join(err, c.end()))
	}
	return figures, nil
}

// end lets the child go and waits for it.
func (c *child) end() error {
	if c.ended {
		return nil
	}
	c.ended = true
	return errors.Join(c.tell.Close(), c.cmd.Wait())
}

// serve is the child's side.
func serve(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 4 {
		return fmt.Errorf("%d arguments of a child", len(args))
	}
	perCase, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	short, err := strconv.ParseBool(args[3])
	if err != nil {
		return err
	}
	maker, ok := peer.Named(args[1])
	if !ok {
		return fmt.Errorf("no peer %q", args[1])
	}
	for _, w := range work.All(sizes(short)) {
		if w.Name != args[0] || !w.Takes(maker) {
			continue
		}
		task := w.Prepare(maker)
		defer task.Close()
		answer := json.NewEncoder(out)
		work.Calm()
		if err := answer.Encode([]float64{}); err != nil {
			return err
		}
		for lines := bufio.NewScanner(in); lines.Scan(); {
			figures := task.Pass(perCase)
			work.Calm()
			if err := answer.Encode(figures); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no work %q for %s", args[0], maker.Name)
}
