package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPrepare_CopyOfTheRepository runs make release in a clone of this repository, and
// then the commands that it prints.
func TestPrepare_CopyOfTheRepository(t *testing.T) {
	t.Parallel()
	const version = "v1.999.0" // higher than all versions in this repository
	root, err := findRoot(".")
	require.NoError(t, err)
	w, err := load(root)
	require.NoError(t, err)
	dir := t.TempDir()
	current, err := w.version()
	require.NoError(t, err)
	p, err := w.publish(t.Context(), dir, current)
	require.NoError(t, err)
	clone := filepath.Join(dir, "clone")
	in := func(env []string, name string, args ...string) (string, error) {
		return output(t.Context(), clone, append(slices.Clone(p.gitEnv), env...), name, args...)
	}
	_, err = output(t.Context(), dir, p.gitEnv, "git", "clone", "--quiet", "https://"+w.rootPath(), clone)
	require.NoError(t, err)
	changelog, err := os.ReadFile(filepath.Join(clone, "CHANGELOG.md"))
	require.NoError(t, err)
	write(t, clone, "CHANGELOG.md", strings.Replace(string(changelog), "## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n- A test.\n", 1))

	_, err = in(nil, "make", "--silent", "release", "VERSION="+version)
	require.ErrorContains(t, err, "uncommitted changes")
	_, err = in(nil, "git", "commit", "--quiet", "--all", "--message", "Add a test")
	require.NoError(t, err)
	_, err = in(nil, "make", "--silent", "release")
	require.ErrorContains(t, err, "VERSION is missing")
	status, err := in(nil, "git", "status", "--porcelain")
	require.NoError(t, err)
	require.Empty(t, status, "a refused release changes nothing")

	before := versions(t, clone)
	commands, err := in(nil, "make", "--silent", "release", "VERSION="+version)
	require.NoError(t, err)
	after := versions(t, clone)
	require.Equal(t, []string{current}, slices.Compact(before))
	require.Equal(t, []string{version}, slices.Compact(slices.Clone(after)))
	require.Len(t, after, len(before))
	changelog, err = os.ReadFile(filepath.Join(clone, "CHANGELOG.md"))
	require.NoError(t, err)
	require.Contains(t, string(changelog), "## [Unreleased]\n\n## [1.999.0] - "+time.Now().Format(time.DateOnly)+"\n\n### Added\n\n- A test.\n")
	// The go command does not look for the new version, which is not published.
	_, err = in([]string{"GOPROXY=off"}, "go", "list", "-m", "all")
	require.NoError(t, err)

	_, err = in(nil, "bash", "-ec", commands)
	require.NoError(t, err, commands)
	head, err := in(nil, "git", "rev-parse", "HEAD")
	require.NoError(t, err)
	remote, err := in(nil, "git", "ls-remote", "origin")
	require.NoError(t, err)
	for _, m := range w.public() {
		require.Contains(t, remote, strings.TrimSpace(head)+"\trefs/tags/"+m.tag(version)+"\n")
	}
	_, err = in(nil, "make", "--silent", "release", "VERSION="+version)
	require.ErrorContains(t, err, "the tag "+version+" exists already")
}

// versions returns the versions of the repository's own modules in all go.mod files and
// in go.work, and that of the npm package.
func versions(t *testing.T, root string) []string {
	own := regexp.MustCompile(`github\.com/occupancy/occupancy\S* (v\S+)`)
	var found []string
	for name, content := range listing(t, root) {
		if strings.HasSuffix(name, "occupancyhttp/client/package.json") {
			found = append(found, "v"+regexp.MustCompile(`"version": "(.*)"`).FindStringSubmatch(content)[1])
		}
		if base := filepath.Base(name); base != "go.mod" && base != "go.work" {
			continue
		}
		for _, match := range own.FindAllStringSubmatch(content, -1) {
			found = append(found, match[1])
		}
	}
	return found
}

func TestVersion_Refused(t *testing.T) {
	t.Parallel()
	for version, text := range map[string]string{
		"":                                     "VERSION is missing",
		"0.2.0":                                "not of the form",
		"v0.2":                                 "not of the form",
		"v0.2.0+build":                         "not of the form",
		"v0.2.0 v0.3.0":                        "not of the form",
		"v0.1.9":                               "lower than v0.2.0",
		"v0.2.0-rc.1":                          "lower than v0.2.0",
		"v2.0.0":                               "end with the major version",
		"v0.3.0-0.20251128022409-0123456789ab": "reserves for untagged commits",
	} {
		require.ErrorContains(t, checkVersion(version, "v0.2.0"), text, version)
	}
	for _, version := range []string{"v0.2.0", "v0.2.1-rc.1", "v1.0.0"} {
		require.NoError(t, checkVersion(version, "v0.2.0"), version)
	}
}

func TestChangelog_Refused(t *testing.T) {
	t.Parallel()
	for changelog, text := range map[string]string{
		"# Changelog\n": "no section [Unreleased]",
		"## [Unreleased]\n\n## [0.1.0] - 2025-01-01\n\n- It works.\n":            "no unreleased change",
		"## [Unreleased]\n\n- More.\n\n## [0.2.0] - 2025-01-01\n\n- It works.\n": "section [0.2.0] already",
	} {
		_, err := releaseChanges(changelog, "0.2.0", "2025-02-02")
		require.ErrorContains(t, err, text)
	}
}

func TestChangelog_OlderVersionsStay(t *testing.T) {
	t.Parallel()
	got, err := releaseChanges("# Changelog\n\n## [Unreleased]\n\n- More.\n\n## [0.1.0] - 2025-01-01\n", "0.2.0", "2025-02-02")
	require.NoError(t, err)
	require.Equal(t, "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2025-02-02\n\n- More.\n\n## [0.1.0] - 2025-01-01\n", got)
}
