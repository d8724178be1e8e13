package main

import (
	"cmp"
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

	"github.com/occupancy/occupancy/cluster"
)

// clusterFlags are the settings of a chat server in a cluster.
type clusterFlags struct {
	seed       bool   // -cluster
	seedAddr   string // -cluster-listen
	clientAddr string // -cluster-client
	seeds      string // -cluster-seeds
	servers    string // -nats
	redis      string // -redis
	name       string // -name
	prefix     string // -cluster-prefix
	token      string // from the environment, because flags are visible in process lists
}

const (
	tokenVariable = "CHAT_CLUSTER_TOKEN"
	defaultPrefix = "occupancy"
)

func (f *clusterFlags) register(flags *flag.FlagSet) {
	flags.BoolVar(&f.seed, "cluster", false, "run a NATS server in this process, which makes this chat server a seed of a cluster.\nThe chat servers of a cluster share the counts and the chat messages")
	flags.StringVar(&f.seedAddr, "cluster-listen", "127.0.0.1:6222", "`host:port` on which this seed accepts connections from other seeds")
	flags.StringVar(&f.clientAddr, "cluster-client", "127.0.0.1:4222", "`host:port` on which this seed accepts connections from chat servers that are not seeds")
	flags.StringVar(&f.seeds, "cluster-seeds", "", "comma-separated `list` of the -cluster-listen addresses of all seeds")
	flags.StringVar(&f.servers, "nats", "", "join the cluster of running NATS servers: comma-separated `URLs` of the NATS servers,\nor the -cluster-client addresses of seeds")
	flags.StringVar(&f.redis, "redis", "", "join the cluster of a Redis server: its `URL`, for example redis://localhost:6379, or with TLS rediss://localhost:6379")
	flags.StringVar(&f.prefix, "cluster-prefix", "", "`prefix` of the subjects on the NATS server, or of the channels on the Redis server; clusters that use the same server need different prefixes (default: "+defaultPrefix+")")
	flags.StringVar(&f.name, "name", "", "`name` of this chat server; it must be unique in the cluster and the same after a restart (default: host name and port)")
}

// validate returns an error if the flags contradict each other.
func (f *clusterFlags) validate(flags *flag.FlagSet) (err error) {
	flags.Visit(func(given *flag.Flag) {
		switch name := given.Name; {
		case name == "cluster-prefix" && !f.clustered():
			err = errors.New("-cluster-prefix requires -cluster, -nats or -redis")
		case name != "cluster-prefix" && strings.HasPrefix(name, "cluster-") && !f.seed:
			err = fmt.Errorf("-%s requires -cluster", name)
		case name == "name" && !f.clustered():
			err = errors.New("-name requires -cluster, -nats or -redis")
		case name == "nats" && f.servers == "":
			err = errors.New("-nats is empty; it must be a list of URLs")
		case name == "redis" && f.redis == "":
			err = errors.New("-redis is empty; it must be a URL")
		}
	})
	if f.seed && f.servers != "" {
		err = errors.New("-cluster and -nats exclude each other: -cluster runs a NATS server, -nats connects to running NATS servers")
	}
	if f.redis != "" && (f.seed || f.servers != "") {
		err = errors.New("-redis excludes -cluster and -nats: a cluster uses either NATS or Redis")
	}
	return err
}

func (f *clusterFlags) clustered() bool { return f.seed || f.servers != "" || f.redis != "" }

// clusterNode connects this chat server to the cluster. It is nil on a chat server without a
// cluster; all methods accept a nil receiver.
type clusterNode struct {
	bus   *broker
	node  *cluster.Node
	relay *relay
}

// join joins the cluster. Afterwards the counts of s.engine include the counts of the other
// chat servers, and s.hub receives their chat messages. join blocks until a server is connected
// and the counts have arrived, or ctx is done. If the flags configure no cluster, join returns
// nil.
func (f *clusterFlags) join(ctx context.Context, s *server, listen net.Addr, log *slog.Logger) (*clusterNode, error) {
	if !f.clustered() {
		return nil, nil
	}
	name := f.name
	if name == "" {
		name = defaultName(listen)
	}
	prefix := cmp.Or(f.prefix, defaultPrefix)
	n := &clusterNode{relay: newRelay(s.hub.broadcast)}
	var err error
	if n.bus, err = f.openBroker(ctx, name, prefix, n.relay.receive, log); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, f.hint())
	}
	n.relay.publish = n.bus.publish
	options := []cluster.Option{
		cluster.WithName(name), cluster.WithLogger(log), cluster.WithSecret(prefix + "\x00" + f.token), cluster.WithTrending(s.board),
	}
	if n.node, err = cluster.Start(ctx, s.engine, n.bus, options...); err != nil {
		return nil, errors.Join(err, closeBus(n.bus))
	}
	// Serve clients only when the counts of the other chat servers have arrived. Do not wait
	// forever, because the first of several seeds waits for the others.
	readyCtx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := n.node.Ready(readyCtx); err != nil {
		log.Warn("not synchronized with the cluster: the first counts can be too small", "error", err)
	}
	return n, nil
}

const readyTimeout = 5 * time.Second

// hint explains which flags correspond to the options in natscluster's error messages.
func (f *clusterFlags) hint() string {
	hint := "The token is read from the environment variable " + tokenVariable + "."
	switch {
	case f.redis != "":
		hint = "The password of Redis is read from -redis or from the environment variable " + tokenVariable + "."
	case f.seed:
		hint = "The flags -cluster-listen, -cluster-client and -cluster-seeds set the options WithClusterListen, WithClientListen and WithSeeds. " + hint
	}
	return hint
}

// defaultName returns the host name and the port.
func defaultName(listen net.Addr) string {
	host, err := os.Hostname()
	if err != nil {
		host = "chat"
	}
	_, port, _ := net.SplitHostPort(listen.String())
	return host + ":" + port
}

// send sends a chat message to the other chat servers.
func (n *clusterNode) send(room string, message []byte) {
	if n != nil {
		n.relay.send(room, message)
	}
}

// leave leaves the cluster. The other chat servers immediately drop the counts of this chat
// server. This chat server keeps the last counts of the others.
func (n *clusterNode) leave() {
	if n != nil {
		_ = n.node.Close() // always nil
	}
}

// close leaves the cluster and disconnects from the broker.
func (n *clusterNode) close() error {
	if n == nil {
		return nil
	}
	return errors.Join(n.node.Close(), closeBus(n.bus))
}

// joinHint returns a log line that explains how another chat server joins the cluster.
func (f *clusterFlags) joinHint(n *clusterNode) string {
	switch {
	case n == nil:
		return "form a cluster:                start one chat server with -cluster, and the others with -addr and -nats"
	case n.bus.seed != nil && n.bus.seed.ClientURL() != "":
		command := "run chat -addr localhost:0 -nats " + n.bus.seed.ClientURL() // a free port, because the port of this server is in use
		if f.token != "" {
			command = "set " + tokenVariable + " and " + command
		}
		return "add a chat server:             " + command
	default:
		return "joined the cluster of the server " + n.bus.health().Server
	}
}

// clusterHealth is the response to GET /cluster. Without a cluster it contains only Nodes.
type clusterHealth struct {
	Nodes int `json:"nodes"` // live nodes, including this one
	*cluster.Health
	Bus *busHealth `json:"bus,omitempty"`
}

func (n *clusterNode) health() clusterHealth {
	if n == nil {
		return clusterHealth{Nodes: 1}
	}
	health, bus, nodes := n.node.Health(), n.bus.health(), 1
	for _, p := range health.Peers {
		if p.State == cluster.Live {
			nodes++
		}
	}
	return clusterHealth{nodes, &health, &bus}
}

// serveHealth responds with status 503 while counts may be incomplete.
func (n *clusterNode) serveHealth(w http.ResponseWriter, _ *http.Request) {
	h, status := n.health(), http.StatusOK
	if h.Health != nil && h.Degraded {
		status = http.StatusServiceUnavailable
	}
	serveJSON(w, status, marshal(h))
}

// staleReasons returns why the counts may be out of date, or nil. The streams of the page
// report these reasons.
func (n *clusterNode) staleReasons() (reasons []string) {
	if n == nil {
		return nil
	}
	// begin: stale-reasons
	for _, r := range n.node.Health().Reasons { // n.node is the *cluster.Node
		reasons = append(reasons, r.Text)
	}
	return reasons
	// end: stale-reasons
}

// nodes returns the nodes of the cluster, this node first.
func (n *clusterNode) nodes() []nodeStatus {
	if n == nil {
		return []nodeStatus{}
	}
	health := n.node.Health()
	nodes := []nodeStatus{{health.Name, cluster.Live}}
	for _, p := range health.Peers {
		nodes = append(nodes, nodeStatus{p.Name, p.State})
	}
	return nodes
}

// connectionsByNode returns each node's connections to a room, or nil without a cluster.
func (n *clusterNode) connectionsByNode(room string) map[string]int {
	if n == nil {
		return nil
	}
	connections := map[string]int{}
	for name, share := range n.node.Shares(room) {
		connections[name] = share.Connections
	}
	return connections
}

// serveReady is the readiness check.
func (n *clusterNode) serveReady(w http.ResponseWriter, r *http.Request) {
	if n != nil {
		n.node.ServeHTTP(w, r)
	}
}
