package report

import (
	"fmt"
	"strings"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// Markdown returns a page with a table of every case.
func (r Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Comparison\n\n%s\nThe command internal/bench/cmd/compare generates this page from [compare.csv](compare.csv).\n", r.conditions())
	fmt.Fprintf(&b, "\n| implementation | description |\n|---|---|\n")
	for _, s := range impl.All {
		fmt.Fprintf(&b, "| %s | %s |\n", s.Name, s.Note)
	}
	for _, p := range r.Plots() {
		r.table(&b, p.Title+", by the number of "+p.xlabel, p.columns(r))
		fmt.Fprintf(&b, "\n![%s](%s)\n", p.Title, p.File)
	}
	for _, name := range r.Cases() {
		b.WriteString(r.CaseTable(name))
	}
	return b.String()
}

// CaseTable returns a heading and a table of one case.
func (r Report) CaseTable(caseName string) string {
	const line = "| %-15s | %18s | %20s | %25s |\n"
	rows := r.CaseRows(caseName)
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n", heading(caseName))
	fmt.Fprintf(&b, line, "implementation", fmt.Sprintf("median of %d passes", len(rows[0].Figures)), "range", "ratio to "+impl.Engine)
	fmt.Fprintf(&b, "|---|--:|--:|--:|\n")
	for _, row := range rows {
		s, ratio := row.Summary(), "–"
		if ratios, ok := r.Ratio(row); ok {
			ratio = formatRatio(ratios)
		}
		fmt.Fprintf(&b, line, row.Implementation, formatQuantity(s.Median, row.Unit),
			formatQuantity(s.Min, row.Unit)+"–"+formatQuantity(s.Max, row.Unit), ratio)
	}
	return b.String()
}

// conditions describes the machine and the number of passes.
func (r Report) conditions() string {
	fewest, most := len(r.Rows[0].Figures), 0
	for _, row := range r.Rows {
		fewest, most = min(fewest, len(row.Figures)), max(most, len(row.Figures))
	}
	m := r.Machine
	return fmt.Sprintf("Measured on %s, %d cores, %s, %s, %s. Each figure is the median of %d to %d passes.",
		m.CPU, m.Cores, m.Go, m.OS, m.Date, fewest, most)
}
