package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// Markdown returns a page with a table of every case.
func (r Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Comparison\n\n%s\n`make compare` generates this page from [compare.csv](compare.csv).\n", r.conditions())
	fmt.Fprintf(&b, "\n| implementation | description |\n|---|---|\n")
	for _, s := range impl.All {
		fmt.Fprintf(&b, "| %s | %s |\n", s.Name, s.Note)
	}
	b.WriteByte('\n')
	for _, p := range Plots {
		fmt.Fprintf(&b, "![%s](%s)\n", p.Title, p.File)
	}
	for _, name := range r.Cases() {
		rows := r.CaseRows(name)
		fmt.Fprintf(&b, "\n## %s\n\n| implementation | median of %d passes | range | ratio to %s |\n|---|--:|--:|--:|\n",
			heading(name), len(rows[0].Figures), impl.Engine)
		for _, row := range rows {
			c := r.cells(row)
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Implementation, c.median, c.minMax, c.ratio)
		}
	}
	return b.String()
}

// Print writes one case as a table for a terminal.
func (r Report) Print(w io.Writer, name string) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\n%s\n", heading(name))
	for _, row := range r.CaseRows(name) {
		c := r.cells(row)
		fmt.Fprintf(out, "%s\t%s\t%s\t× %s\t\n", row.Implementation, c.median, c.minMax, c.ratio)
	}
	return out.Flush()
}

type cells struct{ median, minMax, ratio string }

func (r Report) cells(row Row) cells {
	s := row.Summary()
	c := cells{
		median: formatQuantity(s.Median, row.Unit),
		minMax: formatQuantity(s.Min, row.Unit) + "–" + formatQuantity(s.Max, row.Unit),
		ratio:  "–",
	}
	if ratio, ok := r.Ratio(row); ok {
		c.ratio = formatRatio(ratio)
	}
	return c
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
