//go:build unix

package main

import (
	"flag"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var oldRevision = flag.String("old", "", "the git revision whose chat servers run beside those of this version (default: the last release)")

// Chat servers of the last release and of this version count together, whichever of them is
// the seed. Before the first release, the test needs -old.
func TestVersions_OldAndNewServersCountTogether(t *testing.T) {
	revision := *oldRevision
	if revision == "" {
		out, err := exec.Command("git", "describe", "--tags", "--abbrev=0", "--match", "v*").Output()
		if err != nil {
			t.Skip("no release")
		}
		revision = strings.TrimSpace(string(out))
	}
	dir := t.TempDir()
	out, err := exec.Command("sh", "-c", `git -C "$(git rev-parse --show-toplevel)" archive "$0" | tar -x -C "$1"`, revision, dir).CombinedOutput()
	require.NoError(t, err, string(out))
	oldBinary := build(t, filepath.Join(dir, "examples", "chat"))

	for _, oldSeed := range []bool{false, true} {
		f := newFleet(t)
		cluster, server := freeAddress(t), freeAddress(t)
		f.add("seed", "-cluster", "-cluster-listen", cluster, "-cluster-client", server)
		f.add("new", "-nats", server)
		f.add("old", "-nats", server).binary = oldBinary
		if oldSeed {
			f.servers[0].binary = oldBinary
		}
		for _, p := range f.servers {
			p.start()
			p.connect("lobby", 3)
			p.connect(p.name, 1)
		}
		f.waitCorrect(time.Now())
		for _, p := range f.servers[1:] {
			p.kill()
			p.start()
			p.connect("lobby", 2)
			f.waitCorrect(time.Now())
		}
	}
}
