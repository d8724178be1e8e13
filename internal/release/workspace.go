package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// chat is the only program that gets a tag in each release. With the tag, users can run
// go install.
const chat = "examples/chat"

// workspace is the go.work file of the repository and the modules that it uses.
type workspace struct {
	root    string
	file    *modfile.WorkFile
	modules []module
}

// module is one module of the workspace.
type module struct {
	dir  string // relative to the root of the workspace, with slashes
	file *modfile.File
}

func (m module) path() string { return m.file.Module.Mod.Path }

// public reports whether the module gets a tag in each release.
func (m module) public() bool {
	return m.dir == chat || !below(m.dir, "internal") && !below(m.dir, "examples")
}

// tag returns the tag that the go command expects for a version of the module.
func (m module) tag(version string) string { return path.Join(m.dir, version) }

func below(dir, parent string) bool { return strings.HasPrefix(dir, parent+"/") }

// findRoot returns the closest directory, from dir upwards, that contains a go.work.
func findRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.work in this directory or above: run this in a checkout of the repository")
		}
		dir = parent
	}
}

func load(root string) (*workspace, error) {
	name := filepath.Join(root, "go.work")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	w := &workspace{root: root}
	if w.file, err = modfile.ParseWork(name, data, nil); err != nil {
		return nil, err
	}
	for _, use := range w.file.Use {
		m := module{dir: path.Clean(use.Path)}
		name := w.modFile(m)
		if data, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("go.work: %w", err)
		}
		if m.file, err = modfile.Parse(name, data, nil); err != nil {
			return nil, err
		}
		w.modules = append(w.modules, m)
	}
	return w, nil
}

func (w *workspace) modFile(m module) string { return filepath.Join(w.root, m.dir, "go.mod") }

// public returns the modules that get a tag in each release.
func (w *workspace) public() []module {
	var list []module
	for _, m := range w.modules {
		if m.public() {
			list = append(list, m)
		}
	}
	return list
}

// rootPath returns the path of the root module. The paths of all other modules begin with
// this path.
func (w *workspace) rootPath() string {
	for _, m := range w.modules {
		if m.dir == "." {
			return m.path()
		}
	}
	return ""
}

func (w *workspace) sibling(modulePath string) bool {
	return slices.ContainsFunc(w.modules, func(m module) bool { return m.path() == modulePath })
}

// version returns the version by which the modules require each other. It returns an
// error if the modules require different versions, or if a replace line of go.work has a
// different version. A different version in go.work makes the go command look for the
// required version on the network, where it is not published yet.
func (w *workspace) version() (string, error) {
	version, required := "", map[string]bool{}
	for _, m := range w.modules {
		for _, r := range m.file.Require {
			if !w.sibling(r.Mod.Path) {
				continue
			}
			required[r.Mod.Path] = true
			if version == "" {
				version = r.Mod.Version
			}
			if r.Mod.Version != version {
				return "", fmt.Errorf("%s requires %s, other modules of this repository require %s: write one version into all go.mod files", m.path(), r.Mod, version)
			}
		}
	}
	if version == "" {
		return "", errors.New("no module of the workspace requires another module of it: add a requirement with a version")
	}
	for _, r := range w.file.Replace {
		if w.sibling(r.Old.Path) && r.Old.Version != version {
			return "", fmt.Errorf("go.work replaces %s, and the go.mod files require %s: correct go.work", r.Old, version)
		}
		delete(required, r.Old.Path)
	}
	for modulePath := range required {
		return "", fmt.Errorf("go.work has no replace line for %s %s: add it", modulePath, version)
	}
	return version, nil
}

// checkSums returns an error if a checksum file contains a module of the workspace. The
// modules change with every commit, so the checksum would not match.
func (w *workspace) checkSums() error {
	names := []string{"go.work.sum"}
	for _, m := range w.modules {
		names = append(names, filepath.Join(m.dir, "go.sum"))
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(w.root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if modulePath, _, _ := strings.Cut(line, " "); w.sibling(modulePath) {
				return fmt.Errorf("%s contains a checksum of %s, a module of this repository: remove the line", name, modulePath)
			}
		}
	}
	return nil
}

// setVersion writes version into the go.mod files, for every required module of the
// workspace, and into the replace lines of go.work.
func (w *workspace) setVersion(version string) error {
	for _, m := range w.modules {
		for _, r := range slices.Clone(m.file.Require) {
			if w.sibling(r.Mod.Path) {
				if err := m.file.AddRequire(r.Mod.Path, version); err != nil {
					return err
				}
			}
		}
		data, err := m.file.Format()
		if err != nil {
			return err
		}
		if err := os.WriteFile(w.modFile(m), data, 0o644); err != nil {
			return err
		}
	}
	for _, r := range slices.Clone(w.file.Replace) {
		if !w.sibling(r.Old.Path) || r.Old.Version == version {
			continue
		}
		if err := w.file.AddReplace(r.Old.Path, version, r.New.Path, ""); err != nil {
			return err
		}
		if err := w.file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return err
		}
	}
	w.file.Cleanup()
	return os.WriteFile(filepath.Join(w.root, "go.work"), modfile.Format(w.file.Syntax), 0o644)
}
