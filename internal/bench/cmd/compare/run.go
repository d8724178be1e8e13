package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/report"
	"github.com/occupancy/occupancy/internal/bench/internal/workload"
)

// options are the options of a comparison.
type options struct {
	passes                     int
	perCase                    time.Duration
	workloads, implementations *regexp.Regexp
	short                      bool
}

// run runs the workloads. After each workload it prints the tables of the workload's cases
// to stdout, and the elapsed time to stderr.
func (o options) run(stdout, stderr io.Writer) (report.Report, error) {
	results := report.Report{Machine: report.ThisMachine()}
	for _, w := range workload.All(size(o.short)) {
		if !o.workloads.MatchString(w.Name) {
			continue
		}
		start := time.Now()
		rows, err := o.measure(w)
		if err != nil {
			return results, fmt.Errorf("%s: %w", w.Name, err)
		}
		fmt.Fprintf(stderr, "%s: %v\n", w.Name, time.Since(start).Round(time.Second/10))
		results.Rows = append(results.Rows, rows...)
		for _, c := range w.Cases {
			if _, err := io.WriteString(stdout, results.CaseTable(c.Name)); err != nil {
				return results, err
			}
		}
	}
	if len(results.Rows) == 0 {
		return results, fmt.Errorf("no workload matches %q", o.workloads)
	}
	return results, nil
}

// measure runs one workload with the selected implementations, which take turns.
func (o options) measure(w workload.Workload) ([]report.Row, error) {
	specs := o.selected(w)
	rows := make([]report.Row, len(w.Cases)*len(specs)) // by case, then by implementation
	children := make([]*child, len(specs))
	for i, s := range specs {
		c, err := start(w.Name, s.Name, o)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.stop() }() // has an effect only after an error
		children[i] = c
		for k, wc := range w.Cases {
			rows[k*len(specs)+i] = report.Row{Case: wc.Name, Implementation: s.Name, Unit: wc.Unit}
		}
	}
	for i, c := range children {
		if err := c.waitReady(); err != nil {
			return nil, fmt.Errorf("%s: %w", specs[i].Name, err)
		}
	}
	passes := o.passes
	if w.MaxPasses > 0 {
		passes = min(passes, w.MaxPasses)
	}
	for pass := range passes {
		for i := range specs {
			i = (i + pass) % len(specs) // each pass starts with a different implementation
			figures, err := children[i].pass()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", specs[i].Name, err)
			}
			for k, f := range figures {
				row := &rows[k*len(specs)+i]
				row.Figures = append(row.Figures, f)
			}
		}
	}
	var errs []error
	for i, c := range children {
		if err := c.stop(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", specs[i].Name, err))
		}
	}
	return rows, errors.Join(errs...)
}
