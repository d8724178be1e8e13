//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// serverProfile, in the environment, is the file for the server's CPU profile.
const serverProfile = "OCCUPANCY_LOAD_SERVER_PROFILE"

func startServer(profiles string) (*process, error) {
	env := []string{asServer + "=1"}
	if profiles != "" {
		env = append(env, serverProfile+"="+filepath.Join(profiles, "server.pprof"))
	}
	return startProcess(env...)
}

// serve is the server's process, with the settings of an embedded one. It ends with its
// input.
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
	return tell(in, out, s.ClientURL(), func() (counters, error) {
		v, err := s.Varz(nil)
		if err != nil {
			return counters{}, err
		}
		return counters{
			CPU: cpu(), Memory: v.Mem, Writes: writes(), Slow: v.SlowConsumers,
			InMsgs: v.InMsgs, OutMsgs: v.OutMsgs, InBytes: v.InBytes, OutBytes: v.OutBytes,
		}, nil
	})
}
