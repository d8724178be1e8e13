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

// publication is a local git repository that contains the current files as one commit, with
// the tags of a release.
type publication struct {
	dir           string   // of the repository, outside the workspace
	gitEnv, goEnv []string // environments in which git and go download from the repository
}

// publish creates the repository in dir. The commit includes uncommitted changes and new
// files. publish changes nothing in the workspace.
func (w *workspace) publish(ctx context.Context, dir, version string) (*publication, error) {
	repository := filepath.Join(dir, "repository.git")
	config := filepath.Join(dir, "gitconfig")
	p := &publication{dir: dir}
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

	// A bare repository keeps its index and objects in its own directory. So these
	// commands neither change nor need the directory .git of the workspace.
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
	return p, p.setGoEnv(ctx, w)
}

// setGoEnv sets the environment of go commands:
//
//   - GOMODCACHE is a new module cache, so that no unpublished version remains in the
//     user's module cache.
//   - GOPROXY contains the user's module cache, so that go commands copy the modules of
//     other repositories instead of downloading them.
//   - GOSUMDB=off makes the commands work without a network. The checksums of the copied
//     modules were verified when the user downloaded them.
//   - -trimpath lets the build cache reuse packages although the path of the module cache
//     is different in every run.
func (p *publication) setGoEnv(ctx context.Context, w *workspace) error {
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

func (p *publication) bin() string { return filepath.Join(p.dir, "bin") }
