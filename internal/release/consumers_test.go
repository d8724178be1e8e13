package main

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConsumers_EveryPublicModule(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	before := listing(t, w.root)
	var out strings.Builder
	require.NoError(t, w.testConsumers(t.Context(), map[string]string{"nested": "example.com/other"}, &out))
	require.Regexp(t, `(?m)^github.com/example/fixture@v0\.1\.0: examples passed: 1`, out.String())
	require.Regexp(t, `(?m)^github.com/example/fixture/nested@v0\.1\.0: examples passed: 1`, out.String())
	require.Regexp(t, `(?m)^github.com/example/fixture/examples/chat@v0\.1\.0: installed`, out.String())
	require.NotContains(t, out.String(), "internal/tool")
	require.Equal(t, before, listing(t, w.root), "the workspace must not change")
}

func TestConsumers_ErrorForEachModule(t *testing.T) {
	t.Parallel()
	w := newFixture(t, map[string]string{
		"fixture_test.go":       strings.Replace(fixture["fixture_test.go"], "Output: 42", "Output: 43", 1),
		"nested/nested_test.go": strings.Replace(fixture["nested/nested_test.go"], "// Output: 84", "", 1),
		"examples/chat/main.go": strings.Replace(fixture["examples/chat/main.go"], "fmt.Fprintln(w, nested.Twice())",
			"http.Error(w, \"no page\", 404+0*nested.Twice())", 1),
	})
	err := w.testConsumers(t.Context(), nil, &strings.Builder{})
	require.ErrorContains(t, err, "got:\n42\nwant:\n43")
	require.ErrorContains(t, err, "consumer of github.com/example/fixture/nested: the module has no example")
	require.ErrorContains(t, err, "404 Not Found")
}

func TestConsumers_ForbiddenModuleAndReplacedSibling(t *testing.T) {
	t.Parallel()
	w := newFixture(t, map[string]string{
		"examples/chat/go.mod": fixture["examples/chat/go.mod"] + "\nreplace github.com/example/fixture => ../../\n",
	})
	err := w.testConsumers(t.Context(), map[string]string{"nested": "github.com/example/fixture"}, &strings.Builder{})
	require.ErrorContains(t, err, "a program that imports github.com/example/fixture/nested links github.com/example/fixture")
	require.ErrorContains(t, err, "must not contain directives that would cause")
}

func TestConsumers_ModuleWithoutExampleFiles(t *testing.T) {
	t.Parallel()
	w := newFixture(t, map[string]string{"fixture_test.go": "package fixture_test\n"})
	err := w.testConsumers(t.Context(), nil, &strings.Builder{})
	require.ErrorContains(t, err, "consumer of github.com/example/fixture: the module has no example")
}

func TestConsumers_OneVersionOnly(t *testing.T) {
	t.Parallel()
	for wrong, files := range map[string]map[string]string{
		"requires github.com/example/fixture@v0.2.0, other modules": {
			"internal/tool/go.mod": strings.Replace(fixture["internal/tool/go.mod"], "v0.1.0", "v0.2.0", 1),
		},
		"go.work replaces github.com/example/fixture@v0.0.9": {
			"go.work": strings.Replace(fixture["go.work"], "v0.1.0 => ./\n", "v0.0.9 => ./\n", 1),
		},
		"go.work has no replace line for github.com/example/fixture/nested v0.1.0": {
			"go.work": strings.Replace(fixture["go.work"], "github.com/example/fixture/nested v0.1.0 => ./nested", "", 1),
		},
		"examples/chat/go.sum contains a checksum of github.com/example/fixture": {
			"examples/chat/go.sum": "github.com/example/fixture v0.1.0 h1:AAAA=\n",
		},
	} {
		err := newFixture(t, files).testConsumers(t.Context(), nil, &strings.Builder{})
		require.ErrorContains(t, err, wrong)
	}
}

// listing returns the names and contents of all files below dir.
func listing(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	root := os.DirFS(dir)
	require.NoError(t, fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		files[name] = string(data)
		return err
	}))
	return files
}
