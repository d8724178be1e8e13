//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// If one of these environment variables is set, this program is a process that is
// measured: the server, or a floor, whose specification is the value.
const (
	serverVariable = "OCCUPANCY_LOAD_SERVER"
	floorVariable  = "OCCUPANCY_LOAD_FLOOR"
)

// runChild runs the server or the floor and exits, if the environment requires it.
func runChild() {
	if os.Getenv(serverVariable) != "" {
		exit(serve(os.Stdin, os.Stdout))
	}
	if spec := os.Getenv(floorVariable); spec != "" {
		exit(serveFloor(spec, os.Stdin, os.Stdout))
	}
}

// counters is what a measured process has counted since its start.
type counters struct {
	CPU               time.Duration
	Memory            int64 // resident bytes, now
	Writes            int64 // system calls; 0 on systems that do not count them
	InMsgs, OutMsgs   int64
	InBytes, OutBytes int64 // of payloads
	SlowClients       int64 // disconnected by the server
}

// serveCounters writes the address, and then the counters for each line that it reads.
func serveCounters(in io.Reader, out io.Writer, address string, count func() (counters, error)) error {
	fmt.Fprintln(out, address)
	encoder := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		c, err := count()
		if err != nil {
			return err
		}
		if err := encoder.Encode(c); err != nil {
			return err
		}
	}
	return nil
}

// process is the parent's side of a measured process.
type process struct {
	address string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startProcess(env ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal does not interrupt it
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	address, err := p.out.ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the measured process ended before it listened"), p.stop())
	}
	p.address = strings.TrimSpace(address)
	return p, nil
}

func (p *process) counters() (c counters, err error) {
	if _, err = fmt.Fprintln(p.in); err != nil {
		return c, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(line, &c)
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}
