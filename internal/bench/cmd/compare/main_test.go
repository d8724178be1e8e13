package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
	"github.com/occupancy/occupancy/internal/bench/internal/report"
	"github.com/occupancy/occupancy/internal/bench/internal/work"
)

var anything = regexp.MustCompile("")

// The comparison's children are this test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		main()
	}
	os.Exit(m.Run())
}

func TestPeersTakeTurnsAndThePrintHasThem(t *testing.T) {
	var out strings.Builder
	require.NoError(t, compare([]string{"-short", "-works", "^(join|event).*s=1$", "-peers", "counts|bare"}, &out))
	require.Contains(t, out.String(), "join+leave, 1 room, 1 goroutine\n")
	require.Contains(t, out.String(), "hub, counts")
	require.Contains(t, out.String(), "bare sends")
	require.NotContains(t, out.String(), "xsync")
	require.Equal(t, strings.Count(out.String(), "join+leave, ")+strings.Count(out.String(), "event to all, "),
		strings.Count(out.String(), peer.Engine+"  "), "the engine is in every table")
}

func TestEveryPassOfEveryPeerIsInTheReport(t *testing.T) {
	s := settings{passes: 3, perCase: 1, short: true, works: anything, peers: regexp.MustCompile("hub|xsync")}
	w := work.All(work.Small)[0]
	rows, err := s.measure(w)
	require.NoError(t, err)
	require.Len(t, s.chosen(w), 4, "the engine, two hubs, xsync")
	require.Len(t, rows, 4*len(w.Cases))
	for _, row := range rows {
		require.Len(t, row.Passes, 3, "%s, %s", row.Case, row.Peer)
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-works", "("}, {"-peers", "("}, {"-passes", "0"}, {"-works", "no such work"}, {"-nonsense"},
		{"-short", "-out", t.TempDir()}, {"-works", "join", "-readme", "README.md"}, {"-peers", "hub", "-out", t.TempDir()},
	} {
		require.Error(t, compare(args, new(bytes.Buffer)), "%v", args)
	}
}

func TestAChildThatCannotBeginIsAnError(t *testing.T) {
	c, err := start("join+leave/rooms=1", "nobody", settings{short: true})
	require.NoError(t, err)
	require.Error(t, c.prepared())
	for _, args := range [][]string{
		{}, {"join+leave/rooms=1", peer.Engine, "soon", "true"}, {"join+leave/rooms=1", peer.Engine, "1ms", "perhaps"},
		{"join+leave/rooms=1", "nobody", "1ms", "true"}, {"nothing", peer.Engine, "1ms", "true"},
	} {
		require.Error(t, serve(args, new(bytes.Buffer), new(bytes.Buffer)), "%v", args)
	}
}

func TestResultsAreSavedInEveryForm(t *testing.T) {
	published, err := os.ReadFile("../../results/compare.csv")
	require.NoError(t, err)
	r, err := report.ReadCSV(bytes.NewReader(published))
	require.NoError(t, err)
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	require.Error(t, save(r, dir, readme), "there is no README")
	require.NoError(t, os.WriteFile(readme, []byte("about\n"), 0o644))
	require.Error(t, save(r, dir, readme), "without marks")
	require.NoError(t, os.WriteFile(readme, []byte("about\n<!-- compare:begin -->\n<!-- compare:end -->\n"), 0o644))
	require.NoError(t, save(r, dir, readme))

	again, err := os.ReadFile(filepath.Join(dir, "compare.csv"))
	require.NoError(t, err)
	require.Equal(t, string(published), string(again))
	for _, name := range []string{"compare.md", "join-leave.svg", "memory.svg"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
	shown, err := os.ReadFile(readme)
	require.NoError(t, err)
	require.Contains(t, string(shown), r.ReadmeTables())
	require.Error(t, save(r, filepath.Join(dir, "nowhere"), ""))

	another := t.TempDir()
	require.NoError(t, compare([]string{"-from", filepath.Join(dir, "compare.csv"), "-out", another}, new(bytes.Buffer)))
	for _, name := range []string{"compare.csv", "compare.md", "join-leave.svg", "memory.svg"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(another, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}
	require.Error(t, compare([]string{"-from", filepath.Join(dir, "nothing.csv"), "-out", another}, new(bytes.Buffer)))
	require.Error(t, compare([]string{"-from", filepath.Join(dir, "compare.md"), "-out", another}, new(bytes.Buffer)))
}
