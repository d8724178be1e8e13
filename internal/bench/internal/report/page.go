package report

import (
	"fmt"
	"strings"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// The tables in a page are between these marks.
const (
	beginMark = "<!-- compare:begin -->\n"
	endMark   = "<!-- compare:end -->\n"
)

// column is a column of a table: the title, and the name of the case.
type column struct{ title, caseName string }

// PageTables returns two tables for the page about benchmarks, with the most important
// cases. The first table contains the implementations that count connections, the second
// table contains the implementations that send events.
func (r Report) PageTables() string {
	allCores := fmt.Sprintf("/goroutines=%d", r.Machine.Cores)
	var b strings.Builder
	fmt.Fprintf(&b, "The row %s shows the engine's figures. The other rows show ratios to these figures, with the minimum and the\n"+
		"maximum in parentheses: × 2.00 means twice as long, or twice as large. The times of Join+Leave and of reading are\n"+
		"the elapsed time divided by the number of operations of all cores.\n%s\n\n", impl.Engine, r.conditions())
	r.table(&b, func(s impl.Spec) bool { return s.NewCounter != nil }, true, []column{
		{"Join+Leave, 1,000 rooms", "join+leave/rooms=1000" + allCores},
		{"Join+Leave, 1 room", "join+leave/rooms=1" + allCores},
		{"Join+Leave, 1,000,000 rooms", "join+leave/rooms=1000000" + allCores},
		{"Join+Leave, each Leave empties the room", "join+leave emptying rooms/rooms=1000" + allCores},
		{"read the count of 100,000 connections", "read/members=100000" + allCores},
		{"memory per room", "memory per room/rooms=1000000"},
	})
	b.WriteByte('\n')
	r.table(&b, func(s impl.Spec) bool { return s.NewNotifier != nil }, false, []column{
		{"event to 1 subscriber", "fan-out/subscribers=1"},
		{"event to 100,000 subscribers", "fan-out/subscribers=100000"},
		{"latency, idle, p50", "event latency/idle/p50"},
		{"latency, idle, p99.9", "event latency/idle/p99.9"},
		{"latency, fixed load, p50", "event latency/fixed load/p50"},
		{"latency, fixed load, p99.9", "event latency/fixed load/p99.9"},
		{"latency, full load, p50", "event latency/full load/p50"},
		{"latency, full load, p99.9", "event latency/full load/p99.9"},
		{"Join+Leave at full load", "event latency/full load/join+leave"},
	})
	return b.String()
}

// table writes a table with a line for each implementation for which include returns true.
func (r Report) table(b *strings.Builder, include func(impl.Spec) bool, notes bool, columns []column) {
	fmt.Fprint(b, "| |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	if notes {
		fmt.Fprint(b, " description |")
	}
	fmt.Fprint(b, "\n|---|", strings.Repeat("--:|", len(columns)))
	if notes {
		fmt.Fprint(b, "---|")
	}
	for _, s := range impl.All {
		if !include(s) {
			continue
		}
		fmt.Fprintf(b, "\n| %s |", s.Name)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", r.cell(c.caseName, s.Name))
		}
		if notes {
			fmt.Fprintf(b, " %s |", s.Note)
		}
	}
	b.WriteByte('\n')
}

func (r Report) cell(caseName, implementation string) string {
	row, ok := r.Row(caseName, implementation)
	if !ok {
		return "–"
	}
	if implementation == impl.Engine {
		return "**" + formatQuantity(row.Summary().Median, row.Unit) + "**"
	}
	ratio, ok := r.Ratio(row)
	if !ok {
		return formatQuantity(row.Summary().Median, row.Unit)
	}
	return "× " + formatRatio(ratio)
}

// Tables returns the text between the marks of a page. It returns an error if the page
// has no marks.
func Tables(page string) (string, error) {
	_, rest, ok := strings.Cut(page, beginMark)
	tables, _, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return "", fmt.Errorf("the page does not contain the lines %s and %s", strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return tables, nil
}

// ReplaceTables returns the page with the given tables between its marks.
func ReplaceTables(page, tables string) (string, error) {
	old, err := Tables(page)
	if err != nil {
		return "", err
	}
	return strings.Replace(page, beginMark+old+endMark, beginMark+tables+endMark, 1), nil
}
