package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/report"
	"github.com/occupancy/occupancy/internal/bench/internal/work"
)

// settings are what a comparison is to be.
type settings struct {
	passes       int
	perCase      time.Duration
	works, peers *regexp.Regexp
	short        bool
}

// run does all works and prints each one's table as soon as it is there, and to
// progress how long it took.
func (s settings) run(stdout, progress io.Writer) (report.Report, error) {
	found := report.Report{Machine: report.ThisMachine()}
	for _, w := range work.All(sizes(s.short)) {
		if !s.works.MatchString(w.Name) {
			continue
		}
		begun := time.Now()
		rows, err := s.measure(w)
		if err != nil {
			return found, fmt.Errorf("%s: %w", w.Name, err)
		}
		fmt.Fprintf(progress, "%s: %v\n", w.Name, time.Since(begun).Round(time.Second/10))
		found.Rows = append(found.Rows, rows...)
		for _, c := range w.Cases {
			if err := found.Print(stdout, c.Name); err != nil {
				return found, err
			}
		}
	}
	if len(found.Rows) == 0 {
		return found, errors.New("no work of that name")
	}
	return found, nil
}

// measure has the peers do one work by turns.
func (s settings) measure(w work.Work) ([]report.Row, error) {
	makers := s.chosen(w)
	rows := make([]report.Row, len(w.Cases)*len(makers)) // by case, then peer
	children := make([]*child, len(makers))
	for i, m := range makers {
		c, err := start(w.Name, m.Name, s)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.end() }() // after an error; otherwise it has ended
		children[i] = c
		for k, one := range w.Cases {
			rows[k*len(makers)+i] = report.Row{Case: one.Name, Peer: m.Name, Unit: one.Unit, Alone: one.Alone}
		}
	}
	for i, c := range children {
		if err := c.prepared(); err != nil {
			return nil, fmt.Errorf("%s: %w", makers[i].Name, err)
		}
	}
	passes := s.passes
	if w.Most > 0 {
		passes = min(passes, w.Most)
	}
	for pass := range passes {
		for i := range makers {
			i = (i + pass) % len(makers) // so that nobody always goes first
			figures, err := children[i].pass()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", makers[i].Name, err)
			}
			for k, f := range figures {
				row := &rows[k*len(makers)+i]
				row.Passes = append(row.Passes, f)
			}
		}
	}
	for i, c := range children {
		if err := c.end(); err != nil {
			return nil, fmt.Errorf("%s: %w", makers[i].Name, err)
		}
	}
	return rows, nil
}
