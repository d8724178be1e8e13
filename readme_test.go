package occupancy_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// What the README shows is code that compiles: each snippet stands in the file that a
// comment above it names, between "// begin: name" and "// end: name". So is what it shows
// of the browser client, which its own tests compile.
func TestReadmeSnippetsAreTheCodeTheyName(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	snippets := regexp.MustCompile("(?s)<!-- ([^ ]+): ([^ ]+) -->\n```(?:go|js)\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, snippets, strings.Count(string(readme), "```go")+strings.Count(string(readme), "```js"), "every snippet names its file")
	for _, s := range snippets {
		file, name, shown := s[1], s[2], s[3]
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		_, rest, found := strings.Cut(string(code), "// begin: "+name+"\n")
		require.True(t, found, "%s has no %s", file, name)
		region, _, found := strings.Cut(rest, "// end: "+name+"\n")
		require.True(t, found)
		require.Equal(t, dedent(region), shown, "README and %s", file)
	}
}

// dedent removes the first line's indentation from every line.
func dedent(code string) string {
	code = strings.TrimLeft(code, "\n")
	indent := code[:len(code)-len(strings.TrimLeft(code, "\t"))]
	var out strings.Builder
	for line := range strings.Lines(code) {
		out.WriteString(strings.TrimPrefix(line, indent))
	}
	return strings.Trim(out.String(), "\n\t") + "\n"
}

var serveWebSocket func(http.ResponseWriter, *http.Request, *occupancy.Lease)

// Embedding is what the README shows first.
func embedding() {
	// begin: embedding
	engine := occupancy.New()
	defer engine.Close()

	http.HandleFunc("GET /ws/{room}", func(w http.ResponseWriter, r *http.Request) {
		conn, err := engine.Connect(r.PathValue("room")) // counts one connection …
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		defer conn.Close()         // … and takes it back, however this ends
		serveWebSocket(w, r, conn) // yours; conn.Enter("alice") makes alice a presence member
	})

	http.HandleFunc("GET /rooms/{room}/occupancy", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(engine.Current(r.PathValue("room"))) // {"connections":103,"presenceMembers":95}
	})
	// end: embedding
}

var _ = embedding
