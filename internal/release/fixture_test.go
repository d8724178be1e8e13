package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fixture is a small workspace of the same form as the repository: a root module, a
// nested module that requires it, an internal module, and a program to install.
var fixture = map[string]string{
	"go.work": `go 1.25.0

use (
	.
	./examples/chat
	./internal/tool
	./nested
)

replace (
	github.com/example/fixture v0.1.0 => ./
	github.com/example/fixture/nested v0.1.0 => ./nested
)
`,
	"go.mod": "module github.com/example/fixture\n\ngo 1.25.0\n",
	"fixture.go": `// Package fixture is the root.
package fixture

// Answer returns the answer.
func Answer() int { return 42 }
`,
	"fixture_test.go": `package fixture_test

import (
	"fmt"

	"github.com/example/fixture"
)

func ExampleAnswer() {
	fmt.Println(fixture.Answer())
	// Output: 42
}
`,
	"nested/go.mod": `module github.com/example/fixture/nested

go 1.25.0

require github.com/example/fixture v0.1.0

replace github.com/example/fixture => ../
`,
	"nested/nested.go": `// Package nested uses the root.
package nested

import "github.com/example/fixture"

// Twice returns the answer, doubled.
func Twice() int { return 2 * fixture.Answer() }
`,
	"nested/nested_test.go": `package nested_test

import (
	"fmt"

	"github.com/example/fixture/nested"
)

func ExampleTwice() {
	fmt.Println(nested.Twice())
	// Output: 84
}
`,
	"internal/tool/go.mod": `module github.com/example/fixture/internal/tool

go 1.25.0

require github.com/example/fixture v0.1.0

replace github.com/example/fixture => ../..
`,
	"internal/tool/tool.go": "package tool\n",
	"examples/chat/go.mod": `module github.com/example/fixture/examples/chat

go 1.25.0

require github.com/example/fixture/nested v0.1.0

require github.com/example/fixture v0.1.0 // indirect
`,
	"examples/chat/main.go": `package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/example/fixture/nested"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "")
	flag.Parse()
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "listening on", ln.Addr())
	_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, nested.Twice())
	}))
}
`,
}

// newFixture writes the fixture, with some files replaced, and loads it.
func newFixture(t *testing.T, replaced map[string]string) *workspace {
	files := maps.Clone(fixture)
	maps.Copy(files, replaced)
	root := t.TempDir()
	for name, content := range files {
		write(t, root, name, content)
	}
	w, err := load(root)
	require.NoError(t, err)
	return w
}

func write(t *testing.T, root, name, content string) {
	name = filepath.Join(root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
}
