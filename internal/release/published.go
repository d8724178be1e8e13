package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// published is a local git repository that contains the current files as one commit with
// the tags of a release, and an environment in which the go command downloads the
// modules from there. Its directory is outside the workspace.
type published struct {
	dir           string
	gitEnv, goEnv []string
}

// publish creates the repository below dir. It includes uncommitted changes and new
// files, and changes nothing in the workspace.
func (w *workspace) publish(ctx context.Context, dir, version string) (*published, error) {
	repository := filepath.Join(dir, "repository.git")
	config := filepath.Join(dir, "gitconfig")
	p := &published{dir: dir}
	settings := fmt.Sprintf(`[user]
	name = Consumers
	email = consumers@localhost
[safe]
	directory = *
[url %q]
	insteadOf = https://%s
`, "file://"+repository, w.rootPath())
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GIT_") {
			p.gitEnv = append(p.gitEnv, variable)
		}
	}
	p.gitEnv = append(p.gitEnv, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+config)

	// A bare repository keeps its index and objects in its own directory, so the
	// workspace's .git is not touched, and need not exist.
	git := []string{"--git-dir", repository, "--work-tree", w.root}
	commands := [][]string{
		{"init", "--quiet", "--bare", repository},
		append(git, "add", "--all"),
		append(git, "commit", "--quiet", "--message", "Release "+version),
	}
	for _, m := range w.public() {
		commands = append(commands, []string{"--git-dir", repository, "tag", m.tag(version)})
	}
	for _, args := range commands {
		if _, err := output(ctx, w.root, p.gitEnv, "git", args...); err != nil {
			return nil, err
		}
	}
	return p, p.setGo(ctx, w)
}

// setGo sets the environment of go commands. They use a module cache of their own, so that
// the unpublished version does not remain in the user's, and take other modules from the
// user's cache if it has them. Their checksums were verified when they entered that cache;
// with GOSUMDB=off this also works without a network. -trimpath keeps the build cache
// useful although the module cache is somewhere else each time.
func (p *published) setGo(ctx context.Context, w *workspace) error {
	settings, err := output(ctx, w.root, nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return err
	}
	cache, proxy, _ := strings.Cut(strings.TrimSpace(settings), "\n")
	downloads := url.URL{Scheme: "file", Path: filepath.ToSlash(cache) + "/cache/download"}
	p.goEnv = append(slices.Clone(p.gitEnv),
		"GOWORK=off",
		"GOFLAGS=-mod=mod -modcacherw -trimpath",
		"GOMODCACHE="+filepath.Join(p.dir, "modules"),
		"GOBIN="+p.bin(),
		"GOPROXY="+downloads.String()+","+proxy,
		"GOPRIVATE="+w.rootPath(),
		"GONOPROXY="+w.rootPath(),
		"GONOSUMDB="+w.rootPath(),
		"GOSUMDB=off",
	)
	return nil
}

func (p *published) bin() string { return filepath.Join(p.dir, "bin") }
