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

// The environment makes this program one of the processes that are measured: asServer
// the server, and asFloor a floor, of which it holds the traffic.
const (
	asServer = "OCCUPANCY_LOAD_SERVER"
	asFloor  = "OCCUPANCY_LOAD_FLOOR"
)

// asked runs what the environment asks for, if it does.
func asked() {
	if os.Getenv(asServer) != "" {
		exit(serve(os.Stdin, os.Stdout))
	}
	if spec := os.Getenv(asFloor); spec != "" {
		exit(serveFloor(spec, os.Stdin, os.Stdout))
	}
}

// counters is what such a process has counted since it began.
type counters struct {
	CPU               time.Duration
	Memory            int64 // resident bytes, now
	Writes            int64 // system calls, to whatever file; 0 where the system does not tell
	InMsgs, OutMsgs   int64
	InBytes, OutBytes int64 // of payloads
	Slow              int64 // clients that it cut off
}

// tell writes the address, and the counters for each line that it reads.
func tell(in io.Reader, out io.Writer, address string, count func() (counters, error)) error {
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

// process is such a one, as its parent has it.
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
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is not for it
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
		return nil, errors.Join(errors.New("the process that was to be measured ended"), p.stop())
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

// stop ends it, and waits.
func (p *process) stop() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}
