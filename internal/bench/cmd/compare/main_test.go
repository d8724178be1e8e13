package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
	"github.com/occupancy/occupancy/internal/bench/internal/report"
	"github.com/occupancy/occupancy/internal/bench/internal/workload"
)

// The child processes of the tests run this test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		main()
	}
	os.Exit(m.Run())
}

func TestCompare_PrintsSelectedImplementations(t *testing.T) {
	var out strings.Builder
	dir := filepath.Join(t.TempDir(), "new")
	require.NoError(t, compare([]string{"-short", "-workloads", "^(join|fan).*s=1$", "-implementations", "counts|bare", "-out", dir}, &out))
	require.FileExists(t, filepath.Join(dir, "compare.csv"))
	require.NoFileExists(t, filepath.Join(dir, "fan-out.svg"), "a single size")
	require.Contains(t, out.String(), "join+leave, 1 room, 1 goroutine\n")
	require.Contains(t, out.String(), "hub, counts")
	require.Contains(t, out.String(), "bare sends")
	require.NotContains(t, out.String(), "xsync")
	require.Equal(t, strings.Count(out.String(), "\n## "), strings.Count(out.String(), "| "+impl.Engine+"  "), "the engine is in every table")
}

func TestMeasure_ReturnsEveryPassOfEveryImplementation(t *testing.T) {
	all := regexp.MustCompile("")
	o := options{passes: 3, perCase: 1, short: true, workloads: all, implementations: regexp.MustCompile("hub|xsync")}
	w := workload.All(workload.Small)[0]
	rows, err := o.measure(w)
	require.NoError(t, err)
	require.Len(t, o.selected(w), 4, "the engine, two hubs, xsync")
	require.Len(t, rows, 4*len(w.Cases))
	for _, row := range rows {
		require.Len(t, row.Figures, 3, "%s, %s", row.Case, row.Implementation)
	}
}

func TestCompare_InvalidArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-workloads", "("}, {"-implementations", "("}, {"-passes", "0"}, {"-workloads", "unknown"}, {"-unknown"},
		{"-short", "-page", "page.md"}, {"-workloads", "join", "-page", "page.md"}, {"-implementations", "hub", "-page", "page.md"},
	} {
		require.Error(t, compare(args, new(bytes.Buffer)), "%v", args)
	}
}

func TestChild_InvalidArguments(t *testing.T) {
	c, err := start("join+leave/rooms=1", "unknown", options{short: true})
	require.NoError(t, err)
	require.Error(t, c.waitReady())
	for _, args := range [][]string{
		{}, {"join+leave/rooms=1", impl.Engine, "soon", "true"}, {"join+leave/rooms=1", impl.Engine, "1ms", "perhaps"},
		{"join+leave/rooms=1", "unknown", "1ms", "true"}, {"unknown", impl.Engine, "1ms", "true"},
	} {
		require.Error(t, serve(args, new(bytes.Buffer), new(bytes.Buffer)), "%v", args)
	}
}

func TestWrite_EveryFileAndThePage(t *testing.T) {
	published, err := os.ReadFile("../../results/compare.csv")
	require.NoError(t, err)
	r, err := report.ReadCSV(bytes.NewReader(published))
	require.NoError(t, err)
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	require.Error(t, write(r, dir, page), "without a page")
	require.NoError(t, os.WriteFile(page, []byte("text\n"), 0o644))
	require.Error(t, write(r, dir, page), "without marks in the page")
	require.NoError(t, os.WriteFile(page, []byte("text\n<!-- compare:begin -->\n<!-- compare:end -->\n"), 0o644))
	require.NoError(t, write(r, dir, page))

	written, err := os.ReadFile(filepath.Join(dir, "compare.csv"))
	require.NoError(t, err)
	require.Equal(t, string(published), string(written))
	for _, name := range []string{"compare.md", "join-leave.svg", "fan-out.svg"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
	updated, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(updated), r.PageTables())
	require.Error(t, write(r, page, ""), "the folder is a file")

	other := t.TempDir()
	require.NoError(t, compare([]string{"-from", filepath.Join(dir, "compare.csv"), "-out", other}, new(bytes.Buffer)))
	for _, name := range []string{"compare.csv", "compare.md", "join-leave.svg", "fan-out.svg"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(other, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}
	require.Error(t, compare([]string{"-from", filepath.Join(dir, "missing.csv"), "-out", other}, new(bytes.Buffer)))
	require.Error(t, compare([]string{"-from", filepath.Join(dir, "compare.md"), "-out", other}, new(bytes.Buffer)))
}
