package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// broker is the connection of a chat server to the NATS server or the Redis server of its
// cluster. It carries the counts and the chat messages.
type broker struct {
	cluster.Bus
	seed    *embed.Bus              // nil if this chat server is not a seed
	publish func(data []byte) error // sends chat messages to all chat servers, including this one
	health  func() busHealth
}

// busHealth is the part of /cluster about the broker.
type busHealth struct {
	Prefix     string `json:"prefix"` // of the subjects
	Server     string `json:"server"` // the server that this chat server is connected to
	Routes     int    `json:"routes"` // connections of this seed to other seeds
	Reconnects uint64 `json:"reconnects"`
}

// openBroker connects to the broker. It calls receive for the chat messages of all chat servers.
func (f *clusterFlags) openBroker(ctx context.Context, name, prefix string, receive func(data []byte), log *slog.Logger) (*broker, error) {
	switch {
	case f.redis != "":
		return f.openRedis(ctx, name, prefix, receive, log)
	case !f.seed:
		login := natscluster.WithNATS(nats.Name(name), nats.Token(f.token))
		bus, err := natscluster.Connect(ctx, f.servers, login, natscluster.WithPrefix(prefix), natscluster.WithLogger(log))
		if err != nil {
			return nil, err
		}
		return openNATS(bus, bus.Conn(), nil, prefix, receive)
	}
	options := []embed.Option{
		embed.WithPrefix(prefix), embed.WithLogger(log), embed.WithToken(f.token),
		embed.WithClusterListen(f.seedAddr), embed.WithClientListen(f.clientAddr),
	}
	if f.seeds != "" {
		options = append(options, embed.WithSeeds(strings.Split(f.seeds, ",")...))
	}
	seed, err := embed.Start(ctx, options...)
	if err != nil {
		return nil, err
	}
	return openNATS(seed, seed.Conn(), seed, prefix, receive)
}

func openNATS(bus cluster.Bus, conn *nats.Conn, seed *embed.Bus, prefix string, receive func(data []byte)) (*broker, error) {
	subject := prefix + ".chat"
	if _, err := conn.Subscribe(subject, func(m *nats.Msg) { receive(m.Data) }); err != nil {
		return nil, errors.Join(err, closeBus(bus))
	}
	return &broker{
		Bus:     bus,
		seed:    seed,
		publish: func(data []byte) error { return conn.Publish(subject, data) },
		health: func() busHealth {
			h := busHealth{Prefix: prefix, Server: conn.ConnectedUrlRedacted(), Reconnects: conn.Stats().Reconnects}
			if seed != nil {
				h.Routes = seed.Routes()
			}
			return h
		},
	}, nil
}

func (f *clusterFlags) openRedis(ctx context.Context, name, prefix string, receive func(data []byte), log *slog.Logger) (*broker, error) {
	option, err := rueidis.ParseURL(f.redis)
	if err != nil {
		return nil, errors.New("-redis is not a URL such as redis://host:6379") // err can contain a password
	}
	option.ClientName = name
	if option.Password == "" {
		option.Password = f.token
	}
	bus, err := rediscluster.Connect(ctx, option, rediscluster.WithPrefix(prefix), rediscluster.WithLogger(log))
	if err != nil {
		return nil, err
	}
	channel, client := prefix+".chat", bus.Client()
	go func() {
		for {
			// Receive subscribes again after each disconnection. It returns when the Bus closes the
			// client, or if Redis refuses the subscription.
			subscribe := client.B().Subscribe().Channel(channel).Build()
			err := client.Receive(context.Background(), subscribe, func(m rueidis.PubSubMessage) { receive([]byte(m.Message)) })
			if errors.Is(err, rueidis.ErrClosing) {
				return
			}
			log.Error("cannot receive the messages of other chat servers", "error", err)
			time.Sleep(time.Second)
		}
	}()
	return &broker{
		Bus: bus,
		publish: func(data []byte) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return client.Do(ctx, client.B().Publish().Channel(channel).Message(string(data)).Build()).Error()
		},
		health: func() busHealth { return busHealth{Prefix: prefix, Server: strings.Join(option.InitAddress, ",")} },
	}, nil
}

func closeBus(bus cluster.Bus) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return bus.Close(ctx)
}
