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

// header names the columns. The column "passes" contains the exact figures of the passes.
// The columns "median" to "ratio max" are for human readers: ReadCSV does not read their
// values.
var header = []string{"case", "implementation", "unit", "median", "min", "max", "ratio", "ratio min", "ratio max", "passes",
	"cpu", "cores", "go", "os", "date"}

// WriteCSV writes a record for each row. Each record contains the machine, so that files
// of several machines can be concatenated for analysis.
func (r Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	m := r.Machine
	for _, row := range r.Rows {
		summary := row.Summary()
		ratios := []string{"", "", ""}
		if s, ok := r.Ratio(row); ok {
			ratios = []string{formatCSV(s.Median), formatCSV(s.Min), formatCSV(s.Max)}
		}
		var passes []string
		for _, v := range row.Figures {
			passes = append(passes, strconv.FormatFloat(v, 'g', -1, 64))
		}
		record := slices.Concat(
			[]string{row.Case, row.Implementation, row.Unit, formatCSV(summary.Median), formatCSV(summary.Min), formatCSV(summary.Max)},
			ratios,
			[]string{strings.Join(passes, " "), m.CPU, strconv.Itoa(m.Cores), m.Go, m.OS, m.Date})
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// ReadCSV reads the output of WriteCSV.
func ReadCSV(in io.Reader) (Report, error) {
	records, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return Report{}, err
	}
	if len(records) < 2 || !slices.Equal(records[0], header) {
		return Report{}, errors.New("not the CSV file of a comparison")
	}
	var r Report
	for _, rec := range records[1:] {
		cores, err := strconv.Atoi(rec[11])
		if err != nil {
			return Report{}, fmt.Errorf("cores: %w", err)
		}
		r.Machine = Machine{CPU: rec[10], Cores: cores, Go: rec[12], OS: rec[13], Date: rec[14]}
		row := Row{Case: rec[0], Implementation: rec[1], Unit: rec[2], NoRatio: rec[6] == ""}
		for s := range strings.FieldsSeq(rec[9]) {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return Report{}, fmt.Errorf("%s, %s: %w", row.Case, row.Implementation, err)
			}
			row.Figures = append(row.Figures, v)
		}
		if len(row.Figures) == 0 {
			return Report{}, fmt.Errorf("%s, %s: no passes", row.Case, row.Implementation)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

func formatCSV(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }
