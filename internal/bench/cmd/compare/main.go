// Command compare runs the same workloads with each implementation and prints the results
// as ratios to the engine:
//
//	go run ./internal/bench/cmd/compare                                       # all workloads; takes several minutes
//	go run ./internal/bench/cmd/compare -workloads join -implementations hub  # a part of the workloads
//	go run ./internal/bench/cmd/compare -short                                # a test of a few seconds, without useful figures
//
// With -out, the command writes the results and plots of the workloads that it ran. It can
// also generate the files from the CSV file of an earlier comparison:
//
//	go run ./internal/bench/cmd/compare -from internal/bench/results/compare.csv -out internal/bench/results -page docs/benchmarks.md
//
// Each implementation runs in a separate process, so that the garbage of one implementation
// does not slow down the next implementation. The processes run one at a time and take
// turns after each pass, and ratios are computed between figures of the same pass. So a
// machine that becomes slower during the comparison affects all implementations equally.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
	"github.com/occupancy/occupancy/internal/bench/internal/report"
	"github.com/occupancy/occupancy/internal/bench/internal/workload"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		exit(serve(os.Args[2:], os.Stdin, os.Stdout))
	}
	exit(compare(os.Args[1:], os.Stdout))
}

func exit(err error) {
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func compare(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	passes := flags.Int("passes", 5, "number of passes over each workload")
	perCase := flags.Duration("time", 100*time.Millisecond, "measured time of each case in a pass")
	workloads := flags.String("workloads", "", "run only the workloads whose names match this `pattern`")
	implementations := flags.String("implementations", "", "compare the engine only with the implementations whose names match this `pattern`")
	short := flags.Bool("short", false, "run one pass over small workloads, to test that they run")
	out := flags.String("out", "", "write the results as CSV, Markdown and SVG to this `folder`")
	page := flags.String("page", "", "replace the tables in this Markdown `file`")
	from := flags.String("from", "", "read the results from this CSV `file` instead of measuring; use with -out and -page")
	if err := flags.Parse(args); err != nil {
		return err
	}
	opts := options{passes: *passes, perCase: *perCase, short: *short}
	if *short {
		opts.passes, opts.perCase = 1, time.Millisecond
	}
	if opts.passes < 1 {
		return fmt.Errorf("-passes is %d, must be at least 1", opts.passes)
	}
	var err error
	if opts.workloads, err = regexp.Compile(*workloads); err != nil {
		return fmt.Errorf("-workloads: %w", err)
	}
	if opts.implementations, err = regexp.Compile(*implementations); err != nil {
		return fmt.Errorf("-implementations: %w", err)
	}
	if *page != "" && (*short || *workloads != "" || *implementations != "") {
		return errors.New("-page needs a complete comparison: remove -short, -workloads and -implementations")
	}
	if *from != "" {
		file, err := os.ReadFile(*from)
		if err != nil {
			return err
		}
		results, err := report.ReadCSV(bytes.NewReader(file))
		if err != nil {
			return fmt.Errorf("%s: %w", *from, err)
		}
		return write(results, *out, *page)
	}
	results, err := opts.run(stdout, os.Stderr)
	if err != nil {
		return err
	}
	return write(results, *out, *page)
}

// write writes the files of a report to the folder out, and the tables of the report to the
// file page. If out or page is empty, write skips it.
func write(r report.Report, out, page string) error {
	if out != "" {
		var csv bytes.Buffer
		if err := r.WriteCSV(&csv); err != nil {
			return err
		}
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		files := map[string][]byte{"compare.csv": csv.Bytes(), "compare.md": []byte(r.Markdown())}
		for _, p := range r.Plots() {
			var svg bytes.Buffer
			if err := p.WriteSVG(&svg, r); err != nil {
				return err
			}
			files[p.File] = svg.Bytes()
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
				return err
			}
		}
	}
	if page == "" {
		return nil
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	updated, err := report.ReplaceTables(string(old), r.PageTables())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(updated), 0o644)
}

func size(short bool) workload.Size {
	if short {
		return workload.Small
	}
	return workload.Full
}

// selected returns the engine and the implementations that match -implementations, if they
// support the workload.
func (o options) selected(w workload.Workload) []impl.Spec {
	var specs []impl.Spec
	for _, s := range impl.All {
		if w.Supports(s) && (s.Name == impl.Engine || o.implementations.MatchString(s.Name)) {
			specs = append(specs, s)
		}
	}
	return specs
}
