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

// clusterFlags are the flags of a chat that shares its rooms with other chats.
type clusterFlags struct {
	seed                 bool
	listen, client       string // addresses of a seed
	seeds, servers, name string

	token string // from the environment, because flags are visible in process lists
}

const tokenVariable = "CHAT_CLUSTER_TOKEN"

func (f *clusterFlags) register(flags *flag.FlagSet) {
	flags.BoolVar(&f.seed, "cluster", false, "share rooms with other chats as a seed: run a NATS server in this process.\nOnly counts are shared; messages reach the clients of this chat only")
	flags.StringVar(&f.listen, "cluster-listen", "127.0.0.1:6222", "`host:port` on which this seed accepts connections of other seeds")
	flags.StringVar(&f.client, "cluster-client", "127.0.0.1:4222", "`host:port` on which this seed accepts connections of chats that are not seeds")
	flags.StringVar(&f.seeds, "cluster-seeds", "", "comma-separated `list` of the -cluster-listen addresses of all seeds")
	flags.StringVar(&f.servers, "nats", "", "share rooms with other chats over running NATS servers: comma-separated `URLs` of the servers,\nor -cluster-client addresses of seeds")
	flags.StringVar(&f.name, "name", "", "`name` of this chat, unique in the cluster and the same after a restart (default: host name and port)")
}

// validate returns an error for flags that contradict each other.
func (f *clusterFlags) validate(flags *flag.FlagSet) (err error) {
	flags.Visit(func(given *flag.Flag) {
		switch name := given.Name; {
		case strings.HasPrefix(name, "cluster-") && !f.seed:
			err = fmt.Errorf("-%s requires -cluster", name)
		case name == "name" && !f.clustered():
			err = errors.New("-name requires -cluster or -nats")
		case name == "nats" && f.servers == "":
			err = errors.New("-nats is empty, must be a list of URLs")
		}
	})
	if f.seed && f.servers != "" {
		err = errors.New("-cluster and -nats exclude each other: -cluster runs a NATS server, -nats connects to running ones")
	}
	return err
}

func (f *clusterFlags) clustered() bool { return f.seed || f.servers != "" }

// clusterNode connects this process to the other chats. Its methods may be called on a
// nil clusterNode, which is that of a chat without a cluster.
type clusterNode struct {
	bus  *natscluster.Bus
	seed *embed.Bus // contains bus; nil unless this chat is a seed
	node *cluster.Node
}

// join joins the cluster: from then on the engine's counts include those of the other
// chats. It blocks until a NATS server is connected or ctx is done. Without -cluster and
// -nats it returns nil.
func (f *clusterFlags) join(ctx context.Context, engine *occupancy.Engine, listen net.Addr, log *slog.Logger) (*clusterNode, error) {
	if !f.clustered() {
		return nil, nil
	}
	name := f.name
	if name == "" {
		name = defaultName(listen)
	}
	bus, seed, err := f.bus(ctx, name, log)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, f.hint())
	}
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName(name))
	if err != nil {
		return nil, errors.Join(err, closeBus(bus))
	}
	return &clusterNode{bus, seed, node}, nil
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

// hint says which flags set the options that natscluster's errors name.
func (f *clusterFlags) hint() string {
	hint := "The token is read from the environment variable " + tokenVariable + "."
	if f.seed {
		hint = "The options WithClusterListen, WithClientListen and WithSeeds are set by the flags -cluster-listen, -cluster-client and -cluster-seeds. " + hint
	}
	return hint
}

// defaultName returns the host name and port: probably unique, and the same after a restart.
func defaultName(listen net.Addr) string {
	host, err := os.Hostname()
	if err != nil {
		host = "chat"
	}
	_, port, _ := net.SplitHostPort(listen.String())
	return host + ":" + port
}

// leave makes the other chats drop this chat's counts. From then on this chat shows its
// own counts only.
func (n *clusterNode) leave() {
	if n != nil {
		_ = n.node.Close() // always nil
	}
}

// close leaves the cluster and disconnects from NATS.
func (n *clusterNode) close() error {
	if n == nil {
		return nil
	}
	return errors.Join(n.node.Close(), closeBus(n.bus))
}

// joinHint returns a line of the log that says how another chat joins.
func (n *clusterNode) joinHint() string {
	switch {
	case n == nil:
		return "share rooms with other chats:  start with -cluster, and the others with -nats"
	case n.seed != nil && n.seed.ClientURL() != "":
		return "start another chat:            chat -nats " + n.seed.ClientURL()
	default:
		return "shares rooms with the chats at " + n.bus.Stats().Server
	}
}

func closeBus(bus *natscluster.Bus) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return bus.Close(ctx)
}

// clusterHealth is the answer to GET /cluster. Without a cluster it has only Nodes.
type clusterHealth struct {
	Nodes int `json:"nodes"` // live nodes, including this one
	*cluster.Health
	Bus *busHealth `json:"bus,omitempty"`
}

type busHealth struct {
	Server     string `json:"server"` // the NATS server that this chat is connected to, or ""
	Routes     int    `json:"routes"` // connections of this seed to other seeds
	Reconnects uint64 `json:"reconnects"`
}

func (n *clusterNode) health() clusterHealth {
	if n == nil {
		return clusterHealth{Nodes: 1}
	}
	health, bus, routes := n.node.Health(), n.bus.Stats(), 0
	if n.seed != nil {
		routes = n.seed.Routes()
	}
	nodes := 1
	for _, p := range health.Peers {
		if p.State == cluster.Live {
			nodes++
		}
	}
	return clusterHealth{nodes, &health, &busHealth{bus.Server, routes, bus.Reconnects}}
}

func (n *clusterNode) serveHealth(w http.ResponseWriter, _ *http.Request) {
	serveJSON(w, http.StatusOK, marshal(n.health()))
}
