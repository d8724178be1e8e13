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
			source, err := os.ReadFile(c.file)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(source), c.code))
			dir := t.TempDir()
			mutant, overlay := filepath.Join(dir, c.file), filepath.Join(dir, "overlay.json")
			require.NoError(t, os.WriteFile(mutant, []byte(strings.Replace(string(source), c.code, c.mutant, 1)), 0o600))
			path, err := filepath.Abs(c.file)
			require.NoError(t, err)
			replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutant}})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(overlay, replace, 0o600))
			fails := func(run, failure string) {
				out, err := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-run", run, ".", "-sim.seeds", "10000").CombinedOutput()
				require.Error(t, err, "%s does not fail", run)
				_, details, found := strings.Cut(string(out), failure)
				require.True(t, found, "%s", out)
				t.Log(failure + strings.SplitN(details, "\n", 2)[0])
			}
			fails("^TestSimulation_CountsAreExactAtEnd$", "seed ")
			if !slices.Contains(notExplored, c.rule) {
				fails("^TestExplore_EverySchedule$", "shortest schedule: ")
			}
		})
	}
}
