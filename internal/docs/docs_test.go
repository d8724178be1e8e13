package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil { // to the root of the repository
		panic(err)
	}
	os.Exit(m.Run())
}

// Each code block of the READMEs and of docs/ that a comment names as a region of a file
// must equal that region, which stands between "// begin: name" and "// end: name". Go
// and JavaScript blocks must name one, so that every snippet is code that a test runs.
func TestDocs_SnippetsAreRegionsOfPrograms(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range append(pages, "README.md", "occupancyhttp/client/README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		snippets := regexp.MustCompile("(?s)<!-- ([^ ]+): ([^ ]+) -->\n```[a-z]+\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		require.Len(t, snippets, len(regexp.MustCompile("(?m)^```(go|js|ts|tsx|html)$").FindAllString(string(text), -1)), "%s: each snippet names its region", page)
		for _, s := range snippets {
			file, name, shown := s[1], s[2], s[3]
			code, err := os.ReadFile(file)
			require.NoError(t, err)
			_, rest, found := strings.Cut(string(code), "// begin: "+name+"\n")
			require.True(t, found, "%s has no region %s", file, name)
			region, _, found := strings.Cut(rest, "// end: "+name+"\n")
			require.True(t, found, "%s: the region %s has no end", file, name)
			require.Equal(t, dedent(region), shown, "%s and %s", page, file)
		}
	}
}

// Every relative link of the README and of docs/ leads to a file.
func TestDocs_LinksLeadToFiles(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range append(pages, "README.md", "CHANGELOG.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(page), link[1]))
			require.NoError(t, err, "%s: %s", page, link[0])
		}
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
