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

// header names the columns. The column "passes" contains the figures of all passes.
var header = []string{"case", "implementation", "unit", "passes", "cpu", "cores", "go", "os", "date"}

// WriteCSV writes a record for each row. Each record contains the machine, so that files
// of several machines can be concatenated for analysis.
func (r Report) WriteCSV(w io.Writer) error {
	m := r.Machine
	records := [][]string{header}
	for _, row := range r.Rows {
		var passes []string
		for _, v := range row.Figures {
			passes = append(passes, strconv.FormatFloat(v, 'g', -1, 64))
		}
		records = append(records, []string{row.Case, row.Implementation, row.Unit, strings.Join(passes, " "),
			m.CPU, strconv.Itoa(m.Cores), m.Go, m.OS, m.Date})
	}
	return csv.NewWriter(w).WriteAll(records)
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
		cores, err := strconv.Atoi(rec[5])
		if err != nil {
			return Report{}, fmt.Errorf("cores: %w", err)
		}
		r.Machine = Machine{CPU: rec[4], Cores: cores, Go: rec[6], OS: rec[7], Date: rec[8]}
		row := Row{Case: rec[0], Implementation: rec[1], Unit: rec[2]}
		for s := range strings.FieldsSeq(rec[3]) {
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
