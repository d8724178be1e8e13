package core

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var simMutants = flag.Bool("sim.mutants", false, "check that simulations and schedules fail without each rule of the protocol; takes some minutes")

// Every rule of the protocol is necessary: without it, a simulation fails, and a schedule of
// TestExplore_EverySchedule. Each mutant is this package without one rule.
func TestSimulation_FailsWithoutEachRule(t *testing.T) {
	if !*simMutants {
		t.Skip("needs -sim.mutants")
	}
	notExplored := []string{
		"drop a digest that is applied already", // a node only requests some changes twice
		"compare the hash of a heartbeat",       // schedules have no damaged messages
	}
	for _, c := range []struct{ rule, file, code, mutant string }{
		{"drop a digest that is applied already", "stream.go", "d.seq <= s.applied && (", "false && ("},
		{"apply no digest if an earlier digest is missing", "stream.go", "case d.base > s.applied:", "case false:"},
		{"compare the seq of a heartbeat", "stream.go", "\ts.published = seq\n", "\n"},
		{"compare the hash of a heartbeat", "receive.go", "case p.table.hash != h.hash:", "case false:"},
		{"limit the sync requests", "stream.go", "return s.syncSent + wait + roundTrip", "return 0"},
		{"expire leases", "members.go", "return max(s.cfg.Lease, 5*p.interval)", "return time.Hour"},
		{"shorten the lease of a replaced peer", "members.go", "other.replaced, other.beatsSince = true, 0", ""},
		{"expire no lease while disconnected", "machine.go", "\tif m.connected || m.members.heardSince(m.lostAt) {\n", "\tif true {\n"},
		{"renew the leases after a pause", "members.go", "p.leaseStart, p.state = now, Live\n", "p.leaseStart += 0\n"},
		{"keep the counts after a mass loss", "members.go", "return total == 2 && lost == 2 || total >= 3 && 2*lost > total", "return false"},
		{"be degraded while a peer is lost", "reasons.go", "add(p.state == Missing,", "add(false,"},
		{"ignore delayed messages after a Bye", "members.go", "return ok && d.bye && now < d.until", "return false && ok && d.bye && now < d.until"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			m := newMutant(t, c.file, c.code, c.mutant)
			m.fails("^TestSimulation_CountsAreExactAtEnd$", "seed ")
			if !slices.Contains(notExplored, c.rule) {
				m.fails("^TestExplore_EverySchedule$", "shortest schedule: ")
			}
		})
	}
}

// Every rule of the protocol between clients and aggregators is necessary.
func TestSimulation_Aggregators_FailsWithoutEachRule(t *testing.T) {
	if !*simMutants {
		t.Skip("needs -sim.mutants")
	}
	for _, c := range []struct{ rule, file, code, mutant string }{
		{"use only a source that covers the shard", "client.go", "return p.cover.has(shard) && ", "return "},
		{"replace a late source", "members.go", "max(p.interval, s.cfg.Heartbeat)*5/2", "max(p.interval, s.cfg.Heartbeat)*50"},
		{"remove the rooms of the replaced source", "client.go", `if to == nil || to.view().rooms[room].Room == "" {`, "if to == nil {"},
		{"publish interest in a collected shard", "client.go", "changed.has(shard) {\n\t\t\tusers", "changed.has(shard) && counts != interestOnly {\n\t\t\tusers"},
		{"be degraded if the aggregator misses a node", "client.go", "\t\t\tadd(true, \"missing\", name)", "\t\t\t_ = name"},
		{"be degraded if the aggregator is", "client.go", "add(p.flags&flagDegraded != 0 && ", "add(false && "},
		{"forget what no longer is covered", "receive.go", "p.cover = h.cover", "p.cover |= h.cover"},
		{"publish a shard that all clients cover", "aggregator.go", "\t\t\tall &= p.cover\n", ""},
		{"wait until all clients have greeted", "aggregator.go", "if !g.m.greeted {", "if false {"},
		{"do not wait for a lost client", "aggregator.go", "if p.state != Missing && !g.incomplete(p, now) {", "if true {"},
		{"publish that a client has left a room", "aggregator.go", "\t\tg.offer(p, part.room, ", "\t\t_ = append([]any{p}, part.room, "},
		{"publish the counts of the other clients only", "sums.go", "\tif part != nil {\n\t\tconnections -=", "\tif false {\n\t\tconnections -="},
		{"answer with the counts of the other clients only", "aggregator.go", "\t\tpart = p.parts()[room]\n", "\t\t_ = p\n"},
		{"use no cover of an aggregator that does not know the last request", "receive.go", "if h.heard < p.requestBeat {", "if false {"},
		{"do not choose an aggregator that has just started", "client.go", "(p.nodes == 0 || now", "(now"},
		{"continue the numbering of a feed", "feed.go", "\tif seq > 0 {", "\tif false {"},
		{"keep the counts of an aggregator that has left", "queries.go", "case !p.dropped || p.feed != nil:", "case !p.dropped:"},
		{"get no counts of a degraded aggregator", "queries.go", "\tcase degraded:", "\tcase false:"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			newMutant(t, c.file, c.code, c.mutant).fails("^TestSimulation_Aggregators_CountsAreExactAtEnd$", "seed ")
		})
	}
}

// mutant is this package with another file.
type mutant struct {
	*testing.T
	overlay string
}

// newMutant returns a mutant in which some code of a file, which occurs once, is replaced.
func newMutant(t *testing.T, file, code, by string) mutant {
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), code))
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, file), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(source), code, by, 1)), 0o600))
	path, err := filepath.Abs(file)
	require.NoError(t, err)
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	return mutant{t, overlay}
}

// fails checks that a test of the mutant fails.
func (m mutant) fails(run, failure string) {
	out, err := exec.CommandContext(m.Context(), "go", "test", "-overlay", m.overlay, "-run", run, ".", "-sim.seeds", "10000").CombinedOutput()
	require.Error(m, err, "%s does not fail", run)
	_, details, found := strings.Cut(string(out), failure)
	require.True(m, found, "%s", out)
	m.Log(failure + strings.SplitN(details, "\n", 2)[0])
}
