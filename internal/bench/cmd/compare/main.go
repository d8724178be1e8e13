// Command compare makes the peers do the same works side by side and says how they
// compare with the engine:
//
//	go run ./internal/bench/cmd/compare                          # all of it: some minutes
//	go run ./internal/bench/cmd/compare -works 'join' -peers hub # some of it
//	go run ./internal/bench/cmd/compare -short                   # small and in seconds: that it works, not how fast
//
// What it writes it can write again from the CSV, without measuring anything:
//
//	go run ./internal/bench/cmd/compare -from internal/bench/results/compare.csv -out internal/bench/results -readme README.md
//
// Each peer has a process to itself, so that none pays for another's garbage, and the
// processes take turns, pass by pass, so that a machine whose speed drifts hits all
// alike; ratios are of figures of the same pass. Only one of them ever works.
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

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
	"github.com/occupancy/occupancy/internal/bench/internal/report"
	"github.com/occupancy/occupancy/internal/bench/internal/work"
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
	passes := flags.Int("passes", 5, "how often each peer does each work")
	perCase := flags.Duration("time", 80*time.Millisecond, "how long it does each case in a pass")
	works := flags.String("works", "", "only works whose name matches this `pattern`")
	peers := flags.String("peers", "", "only the engine and peers whose name matches this `pattern`")
	short := flags.Bool("short", false, "one pass over small works: that all of it works")
	out := flags.String("out", "", "the `folder` for the results as CSV, Markdown and SVG; none: print only")
	readme := flags.String("readme", "", "a `file` whose tables to renew")
	from := flags.String("from", "", "the CSV `file` of a comparison, to write -out and -readme from instead of measuring")
	if err := flags.Parse(args); err != nil {
		return err
	}
	set := settings{passes: *passes, perCase: *perCase, short: *short}
	if *short {
		set.passes, set.perCase = 1, time.Millisecond
	}
	if set.passes < 1 {
		return errors.New("-passes: at least one")
	}
	var err error
	if set.works, err = regexp.Compile(*works); err != nil {
		return fmt.Errorf("-works: %w", err)
	}
	if set.peers, err = regexp.Compile(*peers); err != nil {
		return fmt.Errorf("-peers: %w", err)
	}
	if *out != "" || *readme != "" {
		if *short || *works != "" || *peers != "" {
			return errors.New("-out and -readme are for the entire comparison")
		}
	}
	if *from != "" {
		file, err := os.ReadFile(*from)
		if err != nil {
			return err
		}
		found, err := report.ReadCSV(bytes.NewReader(file))
		if err != nil {
			return fmt.Errorf("%s: %w", *from, err)
		}
		return save(found, *out, *readme)
	}
	found, err := set.run(stdout, os.Stderr)
	if err != nil {
		return err
	}
	if *out == "" && *readme == "" {
		return nil
	}
	return save(found, *out, *readme)
}

// save writes the files. All but the CSV are made from the CSV, so that whoever has it
// can make them again.
func save(found report.Report, out, readme string) error {
	var csv bytes.Buffer
	if err := found.WriteCSV(&csv); err != nil {
		return err
	}
	written := csv.Bytes()
	r, err := report.ReadCSV(bytes.NewReader(written))
	if err != nil {
		return err
	}
	if out != "" {
		files := map[string][]byte{"compare.csv": written, "compare.md": []byte(r.Markdown())}
		for _, p := range report.Plots {
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
	if readme == "" {
		return nil
	}
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	renewed, err := report.Replace(string(old), r.ReadmeTables())
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	return os.WriteFile(readme, []byte(renewed), 0o644)
}

// sizes are the works' sizes.
func sizes(short bool) work.Size {
	if short {
		return work.Small
	}
	return work.Full
}

// chosen are the peers that a work takes, of those asked for.
func (s settings) chosen(w work.Work) []peer.Maker {
	var makers []peer.Maker
	for _, m := range peer.All {
		if w.Takes(m) && (m.Name == peer.Engine || s.peers.MatchString(m.Name)) {
			makers = append(makers, m)
		}
	}
	return makers
}
