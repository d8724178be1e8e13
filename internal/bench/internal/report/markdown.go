package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// Markdown is every case as a table.
func (r Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Side by side\n\n%s Made by `make compare`; from [compare.csv](compare.csv).\n", r.conditions())
	fmt.Fprintf(&b, "\n| peer | |\n|---|---|\n")
	for _, m := range peer.All {
		fmt.Fprintf(&b, "| %s | %s |\n", m.Name, m.Note)
	}
	b.WriteByte('\n')
	for _, p := range Plots {
		fmt.Fprintf(&b, "![%s](%s)\n", p.Title, p.File)
	}
	for _, name := range r.Cases() {
		rows := r.Of(name)
		fmt.Fprintf(&b, "\n## %s\n\n| peer | median of %d | least to most | × %s |\n|---|--:|--:|--:|\n",
			label(name), len(rows[0].Passes), peer.Engine)
		for _, row := range rows {
			c := r.cells(row)
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Peer, c.median, c.spread, c.ratio)
		}
	}
	return b.String()
}

// Print writes one case as a table for a terminal.
func (r Report) Print(w io.Writer, name string) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\n%s\n", label(name))
	for _, row := range r.Of(name) {
		c := r.cells(row)
		fmt.Fprintf(out, "%s\t%s\t%s\t× %s\t\n", row.Peer, c.median, c.spread, c.ratio)
	}
	return out.Flush()
}

type cells struct{ median, spread, ratio string }

func (r Report) cells(row Row) cells {
	f := row.Figure()
	c := cells{
		median: quantity(f.Median, row.Unit),
		spread: quantity(f.Least, row.Unit) + "–" + quantity(f.Most, row.Unit),
		ratio:  "–",
	}
	if s, ok := r.Ratio(row); ok {
		c.ratio = times(s)
	}
	return c
}

// conditions is where the figures come from.
func (r Report) conditions() string {
	least, most := len(r.Rows[0].Passes), 0
	for _, row := range r.Rows {
		least, most = min(least, len(row.Passes)), max(most, len(row.Passes))
	}
	m := r.Machine
	return fmt.Sprintf("%s, %d cores, %s, %s, %s; medians of %d to %d passes, with the least and the most.",
		m.CPU, m.Cores, m.Go, m.OS, m.Date, least, most)
}
