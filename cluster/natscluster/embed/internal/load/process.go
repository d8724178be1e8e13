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

// If serverVariable is set in the environment, this program runs the measured server. If
// baselineVariable is set, it runs the baseline process that the value describes in JSON.
const (
	serverVariable   = "OCCUPANCY_LOAD_SERVER"
	baselineVariable = "OCCUPANCY_LOAD_BASELINE"
)

// runChild runs the server or a baseline process and exits, if one of the environment
// variables is set.
func runChild() {
	if os.Getenv(serverVariable) != "" {
		exit(serve(os.Stdin, os.Stdout))
	}
	if spec := os.Getenv(baselineVariable); spec != "" {
		exit(serveBaseline(spec, os.Stdin, os.Stdout))
	}
}

// counters are the counters of a measured process since its start.
type counters struct {
	CPU               time.Duration
	Memory            int64 // the current resident memory in bytes
	Writes            int64 // write system calls; 0 on systems that do not count them
	InMsgs, OutMsgs   int64
	InBytes, OutBytes int64 // the bytes of payloads
	SlowClients       int64 // the number of slow clients that the server has disconnected
}

// serveCounters first writes the address. Then it reads lines, and writes the counters
// after each line.
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

// process is a child process that is measured.
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
