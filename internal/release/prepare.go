package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	gomodule "golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// prepare writes version into the go.mod files, go.work, the npm package of the browser
// client and CHANGELOG.md, and prints the commands that commit, tag and push the release. It changes nothing if it returns
// an error about the version, the tree or the changelog.
func (w *workspace) prepare(ctx context.Context, version string, now time.Time, out io.Writer) error {
	current, err := w.version()
	if err != nil {
		return err
	}
	if err := checkVersion(version, current); err != nil {
		return err
	}
	if err := w.checkTree(ctx, version); err != nil {
		return err
	}
	changelog := filepath.Join(w.root, "CHANGELOG.md")
	data, err := os.ReadFile(changelog)
	if err != nil {
		return err
	}
	released, err := releaseChanges(string(data), strings.TrimPrefix(version, "v"), now.Format(time.DateOnly))
	if err != nil {
		return err
	}
	if err := w.setVersion(version); err != nil {
		return err
	}
	if err := w.setClientVersion(strings.TrimPrefix(version, "v")); err != nil {
		return err
	}
	if err := os.WriteFile(changelog, []byte(released), 0o644); err != nil {
		return err
	}

	fmt.Fprintf(out, "git commit --all --message 'Release %s'\n", version)
	var tags []string
	for _, m := range w.public() {
		tags = append(tags, m.tag(version))
		fmt.Fprintf(out, "git tag %s\n", m.tag(version))
	}
	fmt.Fprintf(out, "git push --atomic origin HEAD %s\n", strings.Join(tags, " "))
	return nil
}

func checkVersion(version, current string) error {
	const how = "for example: make release VERSION=v0.2.0"
	switch {
	case version == "":
		return errors.New("VERSION is missing; " + how)
	case semver.Canonical(version) != version || semver.Build(version) != "":
		return fmt.Errorf("VERSION %q is not of the form v1.2.3 or v1.2.3-rc.1; %s", version, how)
	case gomodule.IsPseudoVersion(version):
		return fmt.Errorf("VERSION %s has the form that the go command reserves for untagged commits; %s", version, how)
	case semver.Major(version) != "v0" && semver.Major(version) != "v1":
		return fmt.Errorf("VERSION %s: from v2 on, the paths of all modules must end with the major version; change them first", version)
	case semver.Compare(version, current) < 0:
		return fmt.Errorf("VERSION %s is lower than %s, which the modules require already", version, current)
	}
	return nil
}

// checkTree returns an error if the tree has uncommitted changes or the version has a tag
// already.
func (w *workspace) checkTree(ctx context.Context, version string) error {
	changes, err := output(ctx, w.root, nil, "git", "status", "--porcelain")
	if err != nil {
		return err
	}
	if changes != "" {
		return fmt.Errorf("the tree has uncommitted changes; commit or remove them first:\n%s", changes)
	}
	for _, m := range w.public() {
		tag, err := output(ctx, w.root, nil, "git", "tag", "--list", m.tag(version))
		if err != nil {
			return err
		}
		if tag != "" {
			return fmt.Errorf("the tag %s exists already; choose another version", m.tag(version))
		}
	}
	return nil
}

var packageVersion = regexp.MustCompile(`"version": "[^"]*"`)

// setClientVersion writes the number of a version into the npm package of the browser client.
func (w *workspace) setClientVersion(number string) error {
	file := filepath.Join(w.root, "occupancyhttp", "client", "package.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, packageVersion.ReplaceAllLiteral(data, []byte(`"version": "`+number+`"`)), 0o644)
}

var heading = regexp.MustCompile(`(?m)^## `)

// releaseChanges moves the unreleased changes in the changelog to a section for the
// version with this number.
func releaseChanges(changelog, number, date string) (string, error) {
	const unreleased = "## [Unreleased]\n"
	before, after, ok := strings.Cut(changelog, unreleased)
	if !ok {
		return "", errors.New("CHANGELOG.md has no section [Unreleased]; add it")
	}
	changes := after
	if next := heading.FindStringIndex(after); next != nil {
		changes = after[:next[0]]
	}
	if strings.TrimSpace(changes) == "" {
		return "", errors.New("CHANGELOG.md lists no unreleased change; describe what is new in this version")
	}
	if strings.Contains(changelog, "## ["+number+"]") {
		return "", fmt.Errorf("CHANGELOG.md has a section [%s] already", number)
	}
	return before + unreleased + fmt.Sprintf("\n## [%s] - %s\n", number, date) + after, nil
}
