// Package report stores the results of a comparison as CSV and turns them into tables
// and plots.
package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
	"github.com/occupancy/occupancy/internal/bench/internal/workload"
)

// Report contains the results of one comparison on one machine.
type Report struct {
	Machine Machine
	Rows    []Row
}

// Machine describes the machine, the Go version and the date of a comparison.
type Machine struct {
	CPU   string
	Cores int // GOMAXPROCS
	Go    string
	OS    string
	Date  string
}

// Row is the result of one implementation in one case.
type Row struct {
	Case, Implementation, Unit string
	Figures                    []float64 // one figure for each pass
}

// Summary summarizes the figures of several passes.
type Summary struct{ Median, Min, Max float64 }

func summarize(values []float64) Summary {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	n := len(sorted)
	return Summary{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// Summary summarizes the row's figures.
func (r Row) Summary() Summary { return summarize(r.Figures) }

// Row returns the row of an implementation in a case.
func (r Report) Row(caseName, implementation string) (Row, bool) {
	i := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Case == caseName && row.Implementation == implementation })
	if i < 0 {
		return Row{}, false
	}
	return r.Rows[i], true
}

// Ratio returns the ratios of the row to the engine. It divides each figure by the engine's
// figure in the same pass, so a machine that becomes slower during the comparison does not
// change the ratios. Ratio returns false if the figures are ratios themselves or the engine
// has no figures.
func (r Report) Ratio(row Row) (Summary, bool) {
	engine, ok := r.Row(row.Case, impl.Engine)
	if !ok || row.Unit == workload.Factor || len(engine.Figures) != len(row.Figures) {
		return Summary{}, false
	}
	ratios := make([]float64, len(row.Figures))
	for i, v := range row.Figures {
		ratios[i] = v / engine.Figures[i]
	}
	return summarize(ratios), true
}

// Cases returns the names of all cases in the order of the rows.
func (r Report) Cases() []string {
	var names []string
	for _, row := range r.Rows {
		if !slices.Contains(names, row.Case) {
			names = append(names, row.Case)
		}
	}
	return names
}

// CaseRows returns the rows of one case.
func (r Report) CaseRows(caseName string) []Row {
	var rows []Row
	for _, row := range r.Rows {
		if row.Case == caseName {
			rows = append(rows, row)
		}
	}
	return rows
}

// heading returns a case's name for people: "join+leave, 1,000 rooms, 2 goroutines".
func heading(caseName string) string {
	parts := strings.Split(caseName, "/")
	for i, part := range parts {
		if noun, n, ok := strings.Cut(part, "="); ok {
			parts[i] = groupDigits(n) + " " + noun
			if n == "1" {
				parts[i] = "1 " + strings.TrimSuffix(noun, "s")
			}
		}
	}
	return strings.Join(parts, ", ")
}

// groupDigits inserts commas between the thousands of a number.
func groupDigits(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
