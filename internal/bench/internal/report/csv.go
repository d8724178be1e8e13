package report

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The passes are what was measured, to the last digit, so that all else follows from
// them; median to ratio most are for who reads the file and are not read back.
var header = []string{"case", "peer", "unit", "median", "least", "most", "ratio", "ratio least", "ratio most", "passes",
	"cpu", "cores", "go", "os", "date"}

// WriteCSV writes a row for each case and peer. The machine is in each, so that rows
// of several runs can be put together.
func (r Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	m := r.Machine
	for _, row := range r.Rows {
		f := row.Figure()
		ratios := []string{"", "", ""}
		if s, ok := r.Ratio(row); ok {
			ratios = []string{number(s.Median), number(s.Least), number(s.Most)}
		}
		var passes []string
		for _, v := range row.Passes {
			passes = append(passes, strconv.FormatFloat(v, 'g', -1, 64))
		}
		record := slices.Concat(
			[]string{row.Case, row.Peer, row.Unit, number(f.Median), number(f.Least), number(f.Most)},
			ratios,
			[]string{strings.Join(passes, " "), m.CPU, strconv.Itoa(m.Cores), m.Go, m.OS, m.Date})
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// ReadCSV reads what WriteCSV wrote.
func ReadCSV(in io.Reader) (Report, error) {
	records, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return Report{}, err
	}
	if len(records) < 2 || !slices.Equal(records[0], header) {
		return Report{}, errors.New("no results of a comparison")
	}
	var r Report
	for _, rec := range records[1:] {
		cores, err := strconv.Atoi(rec[11])
		if err != nil {
			return Report{}, fmt.Errorf("cores: %w", err)
		}
		r.Machine = Machine{CPU: rec[10], Cores: cores, Go: rec[12], OS: rec[13], Date: rec[14]}
		row := Row{Case: rec[0], Peer: rec[1], Unit: rec[2], Alone: rec[6] == ""}
		for s := range strings.FieldsSeq(rec[9]) {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return Report{}, fmt.Errorf("%s, %s: %w", row.Case, row.Peer, err)
			}
			row.Passes = append(row.Passes, v)
		}
		if len(row.Passes) == 0 {
			return Report{}, fmt.Errorf("%s, %s: no passes", row.Case, row.Peer)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }
