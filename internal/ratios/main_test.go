package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrint_RatioOfEachPass(t *testing.T) {
	// The machine was half as fast in the second pass. The ratio is 1.5 in both passes.
	res, err := read(strings.NewReader(`goos: linux
BenchmarkJoin/floor-2 	 100	 10 ns/op
BenchmarkJoin/hooks-2 	 100	 15 ns/op	 0 B/op	 0 allocs/op
BenchmarkMemory-2 	 1	 7 ns/op	 106.5 B/room
BenchmarkJoin/floor-2 	 100	 20 ns/op
BenchmarkJoin/hooks-2 	 100	 30 ns/op	 0 B/op	 0 allocs/op
PASS
`))
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, res.print(&out))
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Fields(line))
	}
	require.Equal(t, []string{"Join/floor", "15.0"}, rows[1])
	require.Equal(t, []string{"Join/hooks", "22.5", "1.50", "1.50", "1.50", "0"}, rows[2])
	require.Equal(t, []string{"Memory", "7.0", "106.50", "B/room"}, rows[3])
}

func TestRead_InvalidInput(t *testing.T) {
	_, err := read(strings.NewReader("PASS\n"))
	require.Error(t, err)
	_, err = read(strings.NewReader("BenchmarkX 1 fast ns/op\n"))
	require.Error(t, err)
}
