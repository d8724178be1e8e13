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
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// In the environment, asServer makes this program the server, and serverProfile names
// the file for its CPU profile.
const (
	asServer      = "OCCUPANCY_LOAD_SERVER"
	serverProfile = "OCCUPANCY_LOAD_SERVER_PROFILE"
)

// counters is what the server's process has counted since it began.
type counters struct {
	CPU               time.Duration
	Memory            int64 // resident bytes, now
	InMsgs, OutMsgs   int64
	InBytes, OutBytes int64 // of payloads
	Slow              int64 // clients that it cut off
}

// serve is the server's process, with the settings of an embedded one. It prints its
// URL, and its counters at each line that it reads, and ends with its input.
func serve(in io.Reader, out io.Writer) error {
	if file := os.Getenv(serverProfile); file != "" {
		stop, err := profile(file)
		if err != nil {
			return err
		}
		defer stop()
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoSystemAccount: true,
	})
	if err != nil {
		return err
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(patience) {
		return errors.New("the server does not start")
	}
	fmt.Fprintln(out, s.ClientURL())
	encoder := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		v, err := s.Varz(nil)
		if err != nil {
			return err
		}
		if err := encoder.Encode(counters{
			CPU: cpu(), Memory: v.Mem, Slow: v.SlowConsumers,
			InMsgs: v.InMsgs, OutMsgs: v.OutMsgs, InBytes: v.InBytes, OutBytes: v.OutBytes,
		}); err != nil {
			return err
		}
	}
	return nil
}

// process is the server's, as its parent has it.
type process struct {
	url string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServer(profiles string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), asServer+"=1")
	if profiles != "" {
		p.cmd.Env = append(p.cmd.Env, serverProfile+"="+filepath.Join(profiles, "server.pprof"))
	}
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
	url, err := p.out.ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the server's process ended"), p.stop())
	}
	p.url = strings.TrimSpace(url)
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

func (p *process) stop() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}
