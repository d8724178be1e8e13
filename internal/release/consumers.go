package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// forbidden lists unwanted dependencies. The key is the directory of a module. A program
// that imports this module must not link the module in the value.
var forbidden = map[string]string{"cluster/natscluster": "github.com/nats-io/nats-server/v2"}

// testConsumers publishes the workspace to a local repository. Then it uses each public module
// from this repository as users do: without the workspace and without replace directives.
func (w *workspace) testConsumers(ctx context.Context, forbidden map[string]string, out io.Writer) (err error) {
	version, err := w.version()
	if err != nil {
		return err
	}
	if err := w.checkSums(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "consumers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := w.publish(ctx, dir, version)
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range w.public() {
		start := time.Now()
		var result string
		if m.dir == chat {
			result, err = w.install(ctx, p, m, version)
		} else {
			result, err = w.consume(ctx, p, m, version, forbidden[m.dir])
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("consumer of %s: %w", m.path(), err))
			result = "FAILED"
		}
		fmt.Fprintf(out, "%s@%s: %s (%.0fs)\n", m.path(), version, result, time.Since(start).Seconds())
	}
	return errors.Join(failed...)
}

var errNoExample = errors.New("the module has no example that runs: write an Example with an Output comment")

var passed = regexp.MustCompile(`(?m)^--- PASS: Example`)

// consume creates a module that requires m, and runs copies of m's examples in it. It
// returns an error if a program that imports m links the forbidden module.
func (w *workspace) consume(ctx context.Context, p *publication, m module, version, forbidden string) (string, error) {
	dir, err := os.MkdirTemp(p.dir, "module-")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/consumer"},
		{"get", m.path() + "@" + version},
		{"build", m.path() + "/..."},
	} {
		if _, err := output(ctx, dir, p.goEnv, "go", args...); err != nil {
			return "", err
		}
	}
	if forbidden != "" {
		linked, err := output(ctx, dir, p.goEnv, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", m.path())
		if err != nil {
			return "", err
		}
		if strings.Contains("\n"+linked, "\n"+forbidden+"\n") {
			return "", fmt.Errorf("a program that imports %s links %s: move the import to another package", m.path(), forbidden)
		}
	}
	copied, err := copyExamples(filepath.Join(w.root, m.dir), dir)
	if err != nil {
		return "", err
	}
	if copied == 0 {
		return "", errNoExample
	}
	// Without -vet=off, vet reports that the names of the examples refer to no identifiers
	// of this module.
	tests, err := output(ctx, dir, p.goEnv, "go", "test", "-vet=off", "-v", "-run", "^Example", "./...")
	if err != nil {
		return "", err
	}
	n := len(passed.FindAllString(tests, -1))
	if n == 0 {
		return "", errNoExample
	}
	return fmt.Sprintf("examples passed: %d", n), nil
}

var example = regexp.MustCompile(`(?m)^func Example`)

// copyExamples copies every test file that contains an example from one module to the
// same relative path in the other module. It returns the number of copied files.
func copyExamples(from, to string) (copied int, err error) {
	err = filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && isExcluded(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil || !example.Match(data) {
			return err
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		copied++
		return os.WriteFile(target, data, 0o600)
	})
	return copied, err
}

// isExcluded reports whether copyExamples skips a directory: a module of its own, or a
// directory whose packages other modules cannot import.
func isExcluded(dir string) bool {
	switch base := filepath.Base(dir); {
	case base == "internal", base == "testdata", base == "node_modules", base[0] == '.', base[0] == '_':
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// install checks that m builds and that its go.mod is tidy. Then it installs the program of
// m and checks that the program serves HTTP.
func (w *workspace) install(ctx context.Context, p *publication, m module, version string) (string, error) {
	clone := filepath.Join(p.dir, "clone")
	if _, err := output(ctx, p.dir, p.gitEnv, "git", "clone", "--quiet", "https://"+w.rootPath(), clone); err != nil {
		return "", err
	}
	source := filepath.Join(clone, m.dir)
	for _, command := range [][]string{
		{"go", "vet", "./..."},
		{"go", "mod", "tidy"},
		{"git", "diff", "--exit-code", "go.mod"},
		{"go", "install", m.path() + "@" + version},
	} {
		if _, err := output(ctx, source, p.goEnv, command[0], command[1:]...); err != nil {
			return "", err
		}
	}
	program := filepath.Join(p.bin(), path.Base(m.path()))
	if err := checkServesHTTP(ctx, program); err != nil {
		return "", err
	}
	return "installed, and serves HTTP", nil
}

var address = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// checkServesHTTP starts the program on a free port of the loopback interface and waits
// until the program prints its address. It requests the page /, and then stops the program.
func checkServesHTTP(ctx context.Context, program string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-addr", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // always an error, because the program is interrupted
		_ = write.Close()
	}()
	var printed bytes.Buffer
	defer func() {
		cancel()
		_, _ = io.Copy(&printed, read)
		<-ended
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", program, err, &printed)
		}
	}()

	lines := bufio.NewScanner(io.TeeReader(read, &printed))
	for lines.Scan() {
		addr := address.FindString(lines.Text())
		if addr == "" {
			continue
		}
		return get(ctx, "http://"+addr+"/")
	}
	return errors.New("the program ended without printing the address on which it listens")
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return nil
}
