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

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// clusterFlags are the settings of a chat server in a cluster.
type clusterFlags struct {
	seed       bool   // -cluster
	seedAddr   string // -cluster-listen
	clientAddr string // -cluster-client
	seeds      string // -cluster-seeds
	servers    string // -nats
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
	flags.StringVar(&f.prefix, "cluster-prefix", "", "`prefix` of the subjects on the NATS server; clusters that use the same server need different prefixes (default: "+defaultPrefix+")")
	flags.StringVar(&f.name, "name", "", "`name` of this chat server; it must be unique in the cluster and the same after a restart (default: host name and port)")
}

// validate returns an error if the flags contradict each other.
func (f *clusterFlags) validate(flags *flag.FlagSet) (err error) {
	flags.Visit(func(given *flag.Flag) {
		switch name := given.Name; {
		case name == "cluster-prefix" && !f.clustered():
			err = errors.New("-cluster-prefix requires -cluster or -nats")
		case name != "cluster-prefix" && strings.HasPrefix(name, "cluster-") && !f.seed:
			err = fmt.Errorf("-%s requires -cluster", name)
		case name == "name" && !f.clustered():
			err = errors.New("-name requires -cluster or -nats")
		case name == "nats" && f.servers == "":
			err = errors.New("-nats is empty; it must be a list of URLs")
		}
	})
	if f.seed && f.servers != "" {
		err = errors.New("-cluster and -nats exclude each other: -cluster runs a NATS server, -nats connects to running NATS servers")
	}
	return err
}

func (f *clusterFlags) clustered() bool { return f.seed || f.servers != "" }

// clusterNode connects this chat server to the cluster. It is nil on a chat server without a
// cluster; all methods accept a nil receiver.
type clusterNode struct {
	bus    natsBus
	seed   *embed.Bus // the same as bus; nil if this chat server is not a seed
	node   *cluster.Node
	relay  *relay
	prefix string
}

// natsBus is a *natscluster.Bus or an *embed.Bus.
type natsBus interface {
	cluster.Bus
	Conn() *nats.Conn
}

// join joins the cluster. Afterwards the counts of s.engine include the counts of the other
// chat servers, and s.hub receives their chat messages. join blocks until a NATS server is
// connected and the counts have arrived, or ctx is done. If neither -cluster nor -nats is set,
// join returns nil.
func (f *clusterFlags) join(ctx context.Context, s *server, listen net.Addr, log *slog.Logger) (*clusterNode, error) {
	if !f.clustered() {
		return nil, nil
	}
	name := f.name
	if name == "" {
		name = defaultName(listen)
	}
	n := &clusterNode{prefix: cmp.Or(f.prefix, defaultPrefix), relay: newRelay(s.hub.broadcast)}
	var err error
	if n.bus, n.seed, err = f.openBus(ctx, name, n.prefix, log); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, f.hint())
	}
	subject := n.prefix + ".chat"
	n.relay.publish = func(data []byte) error { return n.bus.Conn().Publish(subject, data) }
	if _, err := n.bus.Conn().Subscribe(subject, func(m *nats.Msg) { n.relay.receive(m.Data) }); err != nil {
		return nil, errors.Join(err, closeBus(n.bus))
	}
	options := []cluster.Option{
		cluster.WithName(name), cluster.WithLogger(log), cluster.WithSecret(n.prefix + "\x00" + f.token), cluster.WithTrending(s.board),
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

func (f *clusterFlags) openBus(ctx context.Context, name, prefix string, log *slog.Logger) (natsBus, *embed.Bus, error) {
	if !f.seed {
		login := natscluster.WithNATS(nats.Name(name), nats.Token(f.token))
		bus, err := natscluster.Connect(ctx, f.servers, login, natscluster.WithPrefix(prefix), natscluster.WithLogger(log))
		return bus, nil, err
	}
	options := []embed.Option{
		embed.WithPrefix(prefix), embed.WithLogger(log), embed.WithToken(f.token),
		embed.WithClusterListen(f.seedAddr), embed.WithClientListen(f.clientAddr),
	}
	if f.seeds != "" {
		options = append(options, embed.WithSeeds(strings.Split(f.seeds, ",")...))
	}
	seed, err := embed.Start(ctx, options...)
	return seed, seed, err
}

// hint explains which flags correspond to the options in natscluster's error messages.
func (f *clusterFlags) hint() string {
	hint := "The token is read from the environment variable " + tokenVariable + "."
	if f.seed {
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

// close leaves the cluster and disconnects from NATS.
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
	case n.seed != nil && n.seed.ClientURL() != "":
		command := "run chat -addr localhost:0 -nats " + n.seed.ClientURL() // a free port, because the port of this server is in use
		if f.token != "" {
			command = "set " + tokenVariable + " and " + command
		}
		return "add a chat server:             " + command
	default:
		return "joined the cluster of the NATS server " + n.bus.Conn().ConnectedUrlRedacted()
	}
}

func closeBus(bus cluster.Bus) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return bus.Close(ctx)
}

// clusterHealth is the response to GET /cluster. Without a cluster it contains only Nodes.
type clusterHealth struct {
	Nodes int `json:"nodes"` // live nodes, including this one
	*cluster.Health
	Bus *busHealth `json:"bus,omitempty"`
}

type busHealth struct {
	Prefix     string `json:"prefix"` // of the subjects
	Server     string `json:"server"` // the NATS server that this chat server is connected to, or ""
	Routes     int    `json:"routes"` // connections of this seed to other seeds
	Reconnects uint64 `json:"reconnects"`
}

func (n *clusterNode) health() clusterHealth {
	if n == nil {
		return clusterHealth{Nodes: 1}
	}
	health, conn, routes := n.node.Health(), n.bus.Conn(), 0
	if n.seed != nil {
		routes = n.seed.Routes()
	}
	nodes := 1
	for _, p := range health.Peers {
		if p.State == cluster.Live {
			nodes++
		}
	}
	return clusterHealth{nodes, &health, &busHealth{n.prefix, conn.ConnectedUrlRedacted(), routes, conn.Stats().Reconnects}}
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
	for _, r := range n.node.Health().Reasons {
		reasons = append(reasons, r.Text)
	}
	return reasons
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
