package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMakefile_SelectedTestsExist checks the commands of the Makefile that select a test by
// name. If no test has this name, such a command succeeds and tests nothing.
func TestMakefile_SelectedTestsExist(t *testing.T) {
	t.Parallel()
	root, err := findRoot(".")
	require.NoError(t, err)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	commands := regexp.MustCompile(`cd (\S+) && .* -run '\^(Test\w+)\$\$`).FindAllStringSubmatch(string(makefile), -1)
	require.NotEmpty(t, commands)
	for _, command := range commands {
		dir, test := command[1], command[2]
		files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		require.NoError(t, err)
		var source strings.Builder
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			source.Write(data)
		}
		require.Contains(t, source.String(), "func "+test+"(", "make runs %s in %s", test, dir)
	}
}
