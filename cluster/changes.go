package cluster

import (
	"cmp"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// changes reports the changes of Health. Only the goroutine of the driver uses it.
type changes struct {
	out      chan Health
	next     time.Duration // when the next comparison is due
	degraded bool
	level    slog.Level // of the last log line about reasons
	reasons  []string
	peers    map[string]State // by name and incarnation
}

// Changes returns the channel that reports the Health when Degraded, the texts of Reasons,
// the set of peers or the state of a peer has changed. It is always the same channel. An
// unread Health is replaced by the next one. A change is reported up to an eighth of a
// heartbeat interval later, and changes that are undone before are not reported. Close
// closes the channel.
func (n *Node) Changes() <-chan Health { return n.reports.out }

// report logs and reports what has changed since its last call.
func (d *driver) report() {
	if d.now() < d.reports.next {
		return
	}
	d.reports.next = d.now() + d.Heartbeat/8
	h := d.health()
	peers, reasons := map[string]State{}, []string{}
	for _, p := range h.Peers {
		peers[p.Name+" "+p.Incarnation] = p.State
	}
	for _, r := range h.Reasons {
		reasons = append(reasons, r.Text)
	}
	c := &d.reports
	if slices.Equal(reasons, c.reasons) && maps.Equal(peers, c.peers) {
		return
	}
	for p, state := range peers {
		switch before, known := c.peers[p]; {
		case !known:
			d.log.Info("cluster: new peer", "peer", p)
		case before != state && state != Live:
			d.log.Warn("cluster: peer is "+state.String(), "peer", p)
		case before != state:
			d.log.Warn("cluster: peer has returned", "peer", p)
		}
	}
	for p := range c.peers {
		if _, known := peers[p]; !known {
			d.log.Info("cluster: peer has left or was forgotten", "peer", p)
		}
	}
	switch {
	case h.Degraded && !slices.Equal(reasons, c.reasons):
		c.level = slog.LevelWarn
		if !d.core.Ready() {
			c.level = slog.LevelInfo // the counts of every node are incomplete when it starts
		}
		d.log.Log(d.ctx, c.level, "cluster: counts may be incomplete", "reasons", strings.Join(reasons, "; "))
	case c.degraded && !h.Degraded:
		d.log.Log(d.ctx, c.level, "cluster: counts are complete") // a log of warnings shows that the trouble has ended
	}
	c.degraded, c.reasons, c.peers = h.Degraded, reasons, peers
	select { // the run goroutine is the only sender
	case <-c.out:
	default:
	}
	c.out <- h
}

// ServeHTTP is a readiness check for a load balancer. It responds with status 503 before the
// node is ready (see [Node.Ready]) and after Close, and otherwise with status 200. The body
// contains the reasons for Degraded, one a line.
//
// A Degraded node responds with 200, because one lost peer or a fault of the bus makes all
// nodes Degraded: a load balancer would then remove the whole service. Alert on Degraded
// instead. Use [WithStrictReadiness] if no service is better than a wrong count.
func (n *Node) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	lines, h := "", n.Health()
	if !n.isReady() {
		lines = "not ready: the counts of the peers have not arrived yet\n"
	}
	if n.ctx.Err() != nil {
		lines = "not ready: the node is closed\n"
	}
	unavailable := lines != "" || n.strict && h.Degraded
	for _, r := range h.Reasons {
		lines += r.Text + "\n"
	}
	if unavailable {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, cmp.Or(lines, "ok\n"))
}
