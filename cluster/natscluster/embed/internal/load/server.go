//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// profileVariable is the name of an environment variable. Its value is the path of the
// server's CPU profile.
const profileVariable = "OCCUPANCY_LOAD_SERVER_PROFILE"

func startServer(profiles string) (*process, error) {
	env := []string{serverVariable + "=1"}
	if profiles != "" {
		env = append(env, profileVariable+"="+filepath.Join(profiles, "server.pprof"))
	}
	return startProcess(env...)
}

// serve is the main function of the server process. The server has the settings of an
// embedded server. It runs until the standard input of the process is closed.
func serve(in io.Reader, out io.Writer) error {
	if file := os.Getenv(profileVariable); file != "" {
		stop, err := startProfile(file)
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
	if !s.ReadyForConnections(timeout) {
		return errors.New("the NATS server does not start")
	}
	return serveCounters(in, out, s.ClientURL(), func() (counters, error) {
		v, err := s.Varz(nil)
		if err != nil {
			return counters{}, err
		}
		return counters{
			CPU: cpuTime(), Memory: v.Mem, Writes: writeCalls(), SlowClients: v.SlowConsumers,
			InMsgs: v.InMsgs, OutMsgs: v.OutMsgs, InBytes: v.InBytes, OutBytes: v.OutBytes,
		}, nil
	})
}
