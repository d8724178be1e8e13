package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// clusterFlags say how this process finds the others that count with it.
type clusterFlags struct {
	seed                 bool
	listen, client       string // of a seed
	seeds, servers, name string

	token string // from the environment: flags are seen by who lists processes
}

const tokenVariable = "CHAT_CLUSTER_TOKEN"

func (f *clusterFlags) register(flags *flag.FlagSet) {
	flags.BoolVar(&f.seed, "cluster", false, "count together with other chats, as a seed: a NATS server runs in this process.\nWhat is said in a room stays on its own chat; the numbers are what is shared")
	flags.StringVar(&f.listen, "cluster-listen", "127.0.0.1:6222", "a seed listens for the other seeds on this `host:port`")
	flags.StringVar(&f.client, "cluster-client", "127.0.0.1:4222", "a seed listens for chats that are none on this `host:port`")
	flags.StringVar(&f.seeds, "cluster-seeds", "", "the -cluster-listen of all seeds, as a `list` with commas")
	flags.StringVar(&f.servers, "nats", "", "count together with other chats by these NATS servers, a list of `URLs` with commas:\na service's own, or the -cluster-client of its seeds")
	flags.StringVar(&f.name, "name", "", "the `name` of this chat among the others, the same after a restart (default its host and port)")
}

// wrong says what of the flags cannot be meant, if anything.
func (f *clusterFlags) wrong(flags *flag.FlagSet) (wrong string) {
	flags.Visit(func(given *flag.Flag) {
		switch name := given.Name; {
		case strings.HasPrefix(name, "cluster-") && !f.seed:
			wrong = fmt.Sprintf("-%s is for a seed: give -cluster, too", name)
		case name == "name" && !f.clustered():
			wrong = "-name is for one chat of several: give -cluster or -nats, too"
		case name == "nats" && f.servers == "":
			wrong = "-nats is empty"
		}
	})
	if f.seed && f.servers != "" {
		wrong = "-cluster runs a NATS server and -nats uses one that runs: give one of them"
	}
	return wrong
}

func (f *clusterFlags) clustered() bool { return f.seed || f.servers != "" }

// member is this process's place among the chats that count together. A nil one is
// that of a chat alone.
type member struct {
	bus  *natscluster.Bus
	seed *embed.Bus // with bus inside; nil unless this chat is a seed
	node *cluster.Node
}

// join makes the engine's numbers those of the whole service. It waits for a server to
// connect to, until ctx ends.
func (f *clusterFlags) join(ctx context.Context, engine *occupancy.Engine, at net.Addr, log *slog.Logger) (*member, error) {
	if !f.clustered() {
		return nil, nil
	}
	name := f.name
	if name == "" {
		name = nameAt(at)
	}
	bus, seed, err := f.bus(ctx, name, log)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, f.hint())
	}
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName(name))
	if err != nil {
		return nil, errors.Join(err, closeBus(bus))
	}
	return &member{bus, seed, node}, nil
}

func (f *clusterFlags) bus(ctx context.Context, name string, log *slog.Logger) (*natscluster.Bus, *embed.Bus, error) {
	options := []natscluster.Option{natscluster.WithName(name), natscluster.WithLogger(log)}
	if f.token != "" {
		options = append(options, natscluster.WithToken(f.token))
	}
	if !f.seed {
		bus, err := natscluster.Connect(ctx, f.servers, options...)
		return bus, nil, err
	}
	options = append(options, embed.WithClusterListen(f.listen), embed.WithClientListen(f.client))
	if f.seeds != "" {
		options = append(options, embed.WithSeeds(strings.Split(f.seeds, ",")...))
	}
	seed, err := embed.Start(ctx, options...)
	if err != nil {
		return nil, nil, err
	}
	return seed.Bus, seed, nil
}

// hint is what of the flags natscluster's errors speak of.
func (f *clusterFlags) hint() string {
	hint := "A token is taken from the environment variable " + tokenVariable + "."
	if f.seed {
		hint = "WithClusterListen, WithClientListen and WithSeeds are -cluster-listen, -cluster-client and -cluster-seeds. " + hint
	}
	return hint
}

// nameAt is a name that another chat hardly has, and this one has again when it is
// started again.
func nameAt(at net.Addr) string {
	host, err := os.Hostname()
	if err != nil {
		host = "chat"
	}
	_, port, _ := net.SplitHostPort(at.String())
	return host + ":" + port
}

// bye tells the other chats that this one's part is no more. From then on it counts alone.
func (m *member) bye() {
	if m != nil {
		_ = m.node.Close() // whose error is always nil
	}
}

// leave says Bye, if that was not said, and leaves the network when it is on its way.
func (m *member) leave() error {
	if m == nil {
		return nil
	}
	return errors.Join(m.node.Close(), closeBus(m.bus))
}

// says is how another chat joins, for the log.
func (m *member) says() string {
	switch {
	case m == nil:
		return "this chat counts alone: start with -cluster, and others with -nats, to count together"
	case m.seed != nil && m.seed.ClientURL() != "":
		return "to count together with this chat:      chat -nats " + m.seed.ClientURL()
	default:
		return "this chat counts together with those at " + m.bus.Stats().Server
	}
}

func closeBus(bus *natscluster.Bus) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return bus.Close(ctx)
}

// clusterHealth is the answer to GET /cluster. A chat alone has Nodes only.
type clusterHealth struct {
	Nodes int `json:"nodes"` // that count together and are heard of, this one among them
	*cluster.Health
	Bus *busHealth `json:"bus,omitempty"`
}

type busHealth struct {
	Server     string `json:"server"` // that the messages go by, "" while there is none
	Routes     int    `json:"routes"` // other seeds that a seed is linked to
	Reconnects uint64 `json:"reconnects"`
}

func (m *member) health() clusterHealth {
	if m == nil {
		return clusterHealth{Nodes: 1}
	}
	health, bus, routes := m.node.Health(), m.bus.Stats(), 0
	if m.seed != nil {
		routes = m.seed.Routes()
	}
	nodes := 1
	for _, p := range health.Peers {
		if p.State == cluster.Live {
			nodes++
		}
	}
	return clusterHealth{nodes, &health, &busHealth{bus.Server, routes, bus.Reconnects}}
}

func (m *member) serveHealth(w http.ResponseWriter, _ *http.Request) {
	serveJSON(w, http.StatusOK, marshal(m.health()))
}
