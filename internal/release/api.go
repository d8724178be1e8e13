package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// goldenDir contains the documentation of each public package as of the last update.
const goldenDir = "internal/release/api"

// documentation returns the output of go doc -all for every public package, by the
// name of its golden file.
func (w *workspace) documentation(ctx context.Context) (map[string]string, error) {
	// go doc shows the files of one platform: use the same platform on every machine.
	env := append(os.Environ(), "GOOS=linux", "GOARCH=amd64")
	docs := map[string]string{}
	for _, m := range w.public() {
		dir := filepath.Join(w.root, m.dir)
		list, err := output(ctx, dir, env, "go", "list", "-f", `{{if ne .Name "main"}}{{.ImportPath}}{{end}}`, "./...")
		if err != nil {
			return nil, err
		}
		for pkg := range strings.FieldsSeq(list) {
			if slices.Contains(strings.Split(pkg, "/"), "internal") {
				continue
			}
			doc, err := output(ctx, dir, env, "go", "doc", "-all", pkg)
			if err != nil {
				return nil, err
			}
			name := strings.TrimPrefix(pkg, path.Dir(w.rootPath())+"/")
			docs[strings.ReplaceAll(name, "/", ".")+".txt"] = doc
		}
	}
	return docs, nil
}

// compareAPI compares the documentation of the public packages with the golden files.
func (w *workspace) compareAPI(ctx context.Context) (err error) {
	temporary, err := os.MkdirTemp("", "api-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	if err := w.writeDocumentation(ctx, temporary); err != nil {
		return err
	}
	if _, err := output(ctx, w.root, nil, "git", "diff", "--no-index", "--no-color", goldenDir, temporary); err != nil {
		return fmt.Errorf("the API or its documentation differs from the golden files; if that is intended, run make api-update and commit the result: %w", err)
	}
	return nil
}

// updateAPI rewrites the golden files.
func (w *workspace) updateAPI(ctx context.Context) error {
	dir := filepath.Join(w.root, goldenDir)
	return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755), w.writeDocumentation(ctx, dir))
}

func (w *workspace) writeDocumentation(ctx context.Context, dir string) error {
	docs, err := w.documentation(ctx)
	if err != nil {
		return err
	}
	for name, doc := range docs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(doc), 0o644); err != nil {
			return err
		}
	}
	return nil
}
