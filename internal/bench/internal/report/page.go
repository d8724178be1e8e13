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

// PageTables returns the tables for the page about benchmarks, with the most important cases.
func (r Report) PageTables() string {
	allCores := fmt.Sprintf("/goroutines=%d", r.Machine.Cores)
	var b strings.Builder
	fmt.Fprintf(&b, "The row %s shows the engine's figures. The other rows show ratios to these figures, with the minimum and the\n"+
		"maximum in parentheses: × 2.00 means twice as long, or twice as large.\n%s\n", impl.Engine, r.conditions())
	joinLeave := func(workload string) (columns []column) {
		for _, rooms := range []string{"1000", "100000", "1000000"} {
			name := workload + "/rooms=" + rooms
			columns = append(columns, column{groupDigits(rooms) + " rooms, 1 goroutine", name + "/goroutines=1"},
				column{groupDigits(rooms) + " rooms, all cores", name + allCores})
		}
		return columns
	}
	r.table(&b, "Join+Leave", joinLeave("join+leave"))
	r.table(&b, "Join+Leave while a watcher reads the changes of all rooms", joinLeave("join+leave watched"))
	r.table(&b, "Other figures of counting", []column{
		{"Join+Leave, 1 room, all cores", "join+leave/rooms=1" + allCores},
		{"Join+Leave, each Leave empties the room, all cores", "join+leave emptying rooms/rooms=1000" + allCores},
		{"read the count of 100,000 connections, all cores", "read/members=100000" + allCores},
		{"memory per room", "memory per room/rooms=1000000"},
	})
	r.table(&b, "Events", []column{
		{"to 100,000 subscribers", "fan-out/subscribers=100000"},
		{"idle, p50", "event latency/idle/p50"},
		{"busy hooks, p50", "event latency/busy hooks/p50"},
		{"busy hooks, p99", "event latency/busy hooks/p99"},
		{"busy hooks, p99.9", "event latency/busy hooks/p99.9"},
		{"hooks ÷ hooks without events", "busy hooks with events"},
		{"workers, p50", "event latency/workers/p50"},
		{"workers, p99", "event latency/workers/p99"},
	})
	return b.String()
}

// table writes a table with a line for each implementation that has figures.
func (r Report) table(b *strings.Builder, title string, columns []column) {
	fmt.Fprintf(b, "\n**%s**\n\n| |", title)
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	fmt.Fprint(b, "\n|---|", strings.Repeat("--:|", len(columns)), "\n")
	for _, s := range impl.All {
		line, empty := "", true
		for _, c := range columns {
			cell := r.cell(c.caseName, s.Name)
			line += " " + cell + " |"
			empty = empty && cell == "–"
		}
		if !empty {
			fmt.Fprintf(b, "| %s |%s\n", s.Name, line)
		}
	}
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
