package report

import (
	"fmt"
	"strings"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

const (
	begin = "<!-- compare:begin -->\n"
	end   = "<!-- compare:end -->\n"
)

// column is a case that the README shows.
type column struct{ title, name string }

// ReadmeTables is what the README says of the comparison: the peers that count, and
// those that tell, each with the cases that matter most to it.
func (r Report) ReadmeTables() string {
	all := fmt.Sprintf("/goroutines=%d", r.Machine.Cores)
	var b strings.Builder
	fmt.Fprintf(&b, "The engine's own figures, and how many times those the others take: above 1 is slower, or larger.\n"+
		"A time of Join+Leave, or of a read, is what passed by what all cores together did.\n%s\n\n", r.conditions())
	r.table(&b, func(m peer.Maker) bool { return m.New != nil }, true, []column{
		{"Join+Leave, 1,000 rooms", "join+leave/rooms=1000" + all},
		{"1 hot room", "join+leave/rooms=1" + all},
		{"1,000,000 rooms", "join+leave/rooms=1000000" + all},
		{"rooms that empty", "join+leave emptying/rooms=1000" + all},
		{"read a room of 100,000", "read/members=100000" + all},
		{"memory of a room", "memory of a room/rooms=1000000"},
	})
	b.WriteByte('\n')
	r.table(&b, func(m peer.Maker) bool { return m.Tells != nil }, false, []column{
		{"one event to 1 subscriber", "event to all/subscribers=1"},
		{"to 100,000", "event to all/subscribers=100000"},
		{"change to event at idle, p50", "change to event/idle/p50"},
		{"p99.9", "change to event/idle/p99.9"},
		{"at steady load, p50", "change to event/steady load/p50"},
		{"p99.9", "change to event/steady load/p99.9"},
		{"at full load, p50", "change to event/full load/p50"},
		{"p99.9", "change to event/full load/p99.9"},
		{"join+leave meanwhile", "change to event/full load/join+leave meanwhile"},
	})
	return b.String()
}

// table has a line for each of the peers: the engine's figures, and how many times
// those the others take.
func (r Report) table(b *strings.Builder, has func(peer.Maker) bool, notes bool, columns []column) {
	fmt.Fprint(b, "| |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	if notes {
		fmt.Fprint(b, " what it is |")
	}
	fmt.Fprint(b, "\n|---|", strings.Repeat("--:|", len(columns)))
	if notes {
		fmt.Fprint(b, "---|")
	}
	for _, m := range peer.All {
		if !has(m) {
			continue
		}
		fmt.Fprintf(b, "\n| %s |", m.Name)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", r.cell(c.name, m.Name))
		}
		if notes {
			fmt.Fprintf(b, " %s |", m.Note)
		}
	}
	b.WriteByte('\n')
}

func (r Report) cell(name, who string) string {
	row, ok := r.Row(name, who)
	if !ok {
		return "–"
	}
	if who == peer.Engine {
		return "**" + quantity(row.Figure().Median, row.Unit) + "**"
	}
	ratio, ok := r.Ratio(row)
	if !ok {
		return quantity(row.Figure().Median, row.Unit)
	}
	return "× " + times(ratio)
}

// Between is what stands between the marks in a README, and Replace puts something
// else there. The error is that it has no such marks.
func Between(readme string) (string, error) {
	_, rest, ok := strings.Cut(readme, begin)
	between, _, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("no %s and %s", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return between, nil
}

// Replace is the README with these tables between the marks.
func Replace(readme, tables string) (string, error) {
	old, err := Between(readme)
	if err != nil {
		return "", err
	}
	return strings.Replace(readme, begin+old+end, begin+tables+end, 1), nil
}
