package bench_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/report"
)

func readResults(t *testing.T) report.Report {
	file, err := os.ReadFile("results/compare.csv")
	require.NoError(t, err)
	r, err := report.ReadCSV(bytes.NewReader(file))
	require.NoError(t, err)
	return r
}

// `make compare` generates the tables. Do not edit them by hand.
func TestBenchmarksPage_MatchesResults(t *testing.T) {
	page, err := os.ReadFile("../../docs/benchmarks.md")
	require.NoError(t, err)
	tables, err := report.Tables(string(page))
	require.NoError(t, err)
	require.Equal(t, readResults(t).PageTables(), tables)
}

func TestMarkdownAndPlots_MatchResults(t *testing.T) {
	r := readResults(t)
	markdown, err := os.ReadFile("results/compare.md")
	require.NoError(t, err)
	require.Equal(t, r.Markdown(), string(markdown))
	for _, p := range r.Plots() {
		var svg bytes.Buffer
		require.NoError(t, p.WriteSVG(&svg, r))
		file, err := os.ReadFile("results/" + p.File)
		require.NoError(t, err)
		require.Equal(t, svg.String(), string(file), p.File)
	}
}
