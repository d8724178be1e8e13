package bench_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/report"
)

func results(t *testing.T) report.Report {
	file, err := os.ReadFile("results/compare.csv")
	require.NoError(t, err)
	r, err := report.ReadCSV(bytes.NewReader(file))
	require.NoError(t, err)
	return r
}

// `make compare` writes all of them; whoever edits one by hand fails here.
func TestReadmeSaysWhatTheResultsSay(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	shown, err := report.Between(string(readme))
	require.NoError(t, err)
	require.Equal(t, results(t).ReadmeTables(), shown)
}

func TestMarkdownAndPlotsAreOfTheResults(t *testing.T) {
	r := results(t)
	markdown, err := os.ReadFile("results/compare.md")
	require.NoError(t, err)
	require.Equal(t, r.Markdown(), string(markdown))
	for _, p := range report.Plots {
		var svg bytes.Buffer
		require.NoError(t, p.WriteSVG(&svg, r))
		file, err := os.ReadFile("results/" + p.File)
		require.NoError(t, err)
		require.Equal(t, svg.String(), string(file), p.File)
	}
}
