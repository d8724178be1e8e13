package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPI_ReportsWhatChanged(t *testing.T) {
	t.Parallel()
	w := newFixture(t, map[string]string{"internal/secret/secret.go": "package secret\n"})
	require.Error(t, w.compareAPI(t.Context()), "without golden files")
	require.NoError(t, w.updateAPI(t.Context()))
	require.NoError(t, w.compareAPI(t.Context()))
	docs, err := w.documentation(t.Context())
	require.NoError(t, err)
	require.Len(t, docs, 2, "neither internal packages nor programs")
	require.Contains(t, docs["fixture.nested.txt"], "func Twice() int\n    Twice returns the answer, doubled.")

	write(t, w.root, "fixture.go", strings.Replace(fixture["fixture.go"], "Answer() int", "Answer() int64", 1))
	err = w.compareAPI(t.Context())
	require.ErrorContains(t, err, "-func Answer() int\n+func Answer() int64\n")
	require.ErrorContains(t, err, "make api-update")
}

func TestAPI_RemovedPackage(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	require.NoError(t, w.updateAPI(t.Context()))
	write(t, w.root, goldenDir+"/fixture.removed.txt", "package removed\n")
	require.ErrorContains(t, w.compareAPI(t.Context()), "fixture.removed.txt")
	require.NoError(t, w.updateAPI(t.Context()))
	require.NoError(t, w.compareAPI(t.Context()))
}
