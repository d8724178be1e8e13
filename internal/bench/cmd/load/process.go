//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a measured process. It ends when this process ends.
type process struct {
	address string // on which it listens
	cmd     *exec.Cmd
}

func (p *process) start() error {
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // the terminal does not interrupt it
		Pdeathsig: syscall.SIGKILL,
	}
	return p.cmd.Start()
}

// childVariable is the name of an environment variable. If it is set, this program runs the
// NATS server, or the baseline that the value describes in JSON.
const (
	childVariable = "OCCUPANCY_LOAD_CHILD"
	childNATS     = "nats"
)

// runChild runs what childVariable says and exits, if it is set.
func runChild() {
	switch child := os.Getenv(childVariable); child {
	case "":
	case childNATS:
		exit(serveNATS())
	default:
		exit(serveBaseline(child))
	}
}

// startChild starts this program with a value of childVariable. The program first prints its
// address.
func startChild(child string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), childVariable+"="+child)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, errors.New("the measured process ended before it listened")
	}
	p.address = strings.TrimSpace(address)
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // the error says that the process was killed
}

// counters are the counters of a process since its start.
type counters struct {
	cpu    time.Duration // of all cores together
	memory int64         // the current resident memory in bytes
	writes int64         // the number of write system calls
}

func (p *process) counters() (counters, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return counters{}, err
	}
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	if err != nil {
		return counters{}, err
	}
	_, afterName, _ := strings.Cut(string(stat), ") ")
	_, afterWrites, _ := strings.Cut(string(io), "syscw: ")
	fields := strings.Fields(afterName)
	number := func(text string) int64 {
		n, parseErr := strconv.ParseInt(text, 10, 64)
		err = errors.Join(err, parseErr)
		return n
	}
	const tick = time.Second / 100 // the unit of CPU times in /proc
	return counters{
		cpu:    time.Duration(number(fields[11])+number(fields[12])) * tick, // of the process, and of the system for it
		memory: number(fields[21]) * int64(os.Getpagesize()),
		writes: number(strings.Fields(afterWrites)[0]),
	}, err
}

// cpuTime returns the CPU time that this process has used, of all cores together.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // these arguments are valid
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
