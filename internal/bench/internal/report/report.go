// Package report is what a comparison found: as CSV, from which the tables and the
// plots are made.
package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// Report is the figures of one run on one machine.
type Report struct {
	Machine Machine
	Rows    []Row
}

// Machine is where and when a report was made.
type Machine struct {
	CPU   string
	Cores int // that Go used: GOMAXPROCS
	Go    string
	OS    string
	Date  string
}

// Row is what one peer took for one case, pass by pass.
type Row struct {
	Case, Peer, Unit string
	Alone            bool // has no ratio
	Passes           []float64
}

// Spread is the median of some passes, and the least and the most of them.
type Spread struct{ Median, Least, Most float64 }

func spread(values []float64) Spread {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	n := len(sorted)
	return Spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// Figure is the row's own spread.
func (r Row) Figure() Spread { return spread(r.Passes) }

// Row is that peer's in that case.
func (r Report) Row(name, peer string) (Row, bool) {
	i := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Case == name && row.Peer == peer })
	if i < 0 {
		return Row{}, false
	}
	return r.Rows[i], true
}

// Ratio is how many times the engine's figure the row's is, each pass by the engine's
// of the same pass, so that a machine whose speed drifts does not show. There is none
// where the engine has no such row.
func (r Report) Ratio(row Row) (Spread, bool) {
	engine, ok := r.Row(row.Case, peer.Engine)
	if !ok || row.Alone || len(engine.Passes) != len(row.Passes) {
		return Spread{}, false
	}
	ratios := make([]float64, len(row.Passes))
	for i, v := range row.Passes {
		ratios[i] = v / engine.Passes[i]
	}
	return spread(ratios), true
}

// Cases are the names of all cases, in their order.
func (r Report) Cases() []string {
	var names []string
	for _, row := range r.Rows {
		if !slices.Contains(names, row.Case) {
			names = append(names, row.Case)
		}
	}
	return names
}

// Of are the rows of one case.
func (r Report) Of(name string) []Row {
	var rows []Row
	for _, row := range r.Rows {
		if row.Case == name {
			rows = append(rows, row)
		}
	}
	return rows
}

// label is a case's name as one reads it: "join+leave, rooms=1,000".
func label(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if what, n, ok := strings.Cut(part, "="); ok {
			parts[i] = grouped(n) + " " + what
			if n == "1" {
				parts[i] = "1 " + strings.TrimSuffix(what, "s")
			}
		}
	}
	return strings.Join(parts, ", ")
}

// grouped puts commas between the thousands of a number.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
