//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// broker is a kind of server that load can measure.
type broker struct {
	start   func() (*process, error)
	connect func(ctx context.Context, address string) (cluster.Bus, error)
	framing int // the approximate number of bytes that the server adds to a payload
}

// brokers are the values of -bus.
var brokers = map[string]broker{
	"nats": {
		start: func() (*process, error) { return startChild(childNATS) },
		connect: func(ctx context.Context, address string) (cluster.Bus, error) {
			return natscluster.Connect(ctx, address)
		},
		framing: len("MSG occupancy.v1.digest.0 1 1000\r\n\r\n"),
	},
	"redis": {
		start: startRedis,
		connect: func(ctx context.Context, address string) (cluster.Bus, error) {
			return rediscluster.Connect(ctx, rueidis.ClientOption{InitAddress: []string{address}})
		},
		framing: len(">3\r\n$7\r\nmessage\r\n$21\r\noccupancy.v1.digest.0\r\n$1000\r\n\r\n"),
	},
}

// serveNATS runs a server with the settings of an embedded server.
func serveNATS() error {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoSystemAccount: true,
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(timeout) {
		return errors.New("the NATS server does not start")
	}
	fmt.Println(s.ClientURL())
	s.WaitForShutdown()
	return nil
}

// startRedis starts redis-server. The nodes connect as soon as it listens.
func startRedis() (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = l.Close()
	p := &process{address, exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "")}
	return p, p.start()
}
