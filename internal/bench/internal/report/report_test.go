package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
	"github.com/occupancy/occupancy/internal/bench/internal/workload"
)

// sampleReport returns a report of the engine and the hub, with every kind of case that the
// plots need.
func sampleReport() Report {
	r := Report{Machine: Machine{CPU: "A, \"quoted\" CPU", Cores: 2, Go: "go1", OS: "os/arch", Date: "2001-02-03"}}
	add := func(name, unit string, engine, hub []float64) {
		r.Rows = append(r.Rows,
			Row{Case: name, Implementation: impl.Engine, Unit: unit, Figures: engine},
			Row{Case: name, Implementation: "hub, members", Unit: unit, Figures: hub})
	}
	// The machine ran at half its speed in the second pass. The ratio is 3 in each pass.
	add("join+leave/rooms=1/goroutines=1", "ns", []float64{7, 7, 7}, []float64{7, 7, 7})
	add("join+leave/rooms=1/goroutines=2", "ns", []float64{10, 20, 10}, []float64{30, 60, 30})
	add("join+leave/rooms=1000/goroutines=2", "ns", []float64{10, 10, 30}, []float64{1000, 4000, 3000})
	add("join+leave/rooms=1000/goroutines=1", "ns", []float64{10}, []float64{20})
	add("read/members=1/goroutines=2", "ns", []float64{1}, []float64{2})
	add("fan-out/subscribers=1", "ns", []float64{1}, []float64{2})
	add("fan-out/subscribers=100", "ns", []float64{100}, []float64{300})
	add("event latency/idle/p50", "ns", []float64{1e6}, []float64{2e6})
	add("memory per room/rooms=1000000", "bytes", []float64{100}, []float64{200})
	add("busy hooks with events", workload.Factor, []float64{1}, []float64{1.5})
	return r
}

func TestRatio_DividesPassByPass(t *testing.T) {
	r := sampleReport()
	row, ok := r.Row("join+leave/rooms=1/goroutines=2", "hub, members")
	require.True(t, ok)
	ratio, ok := r.Ratio(row)
	require.True(t, ok)
	require.Equal(t, Summary{3, 3, 3}, ratio)

	row, _ = r.Row("join+leave/rooms=1000/goroutines=2", "hub, members")
	require.Equal(t, Summary{3000, 1000, 4000}, row.Summary())
	ratio, _ = r.Ratio(row)
	require.Equal(t, Summary{100, 100, 400}, ratio)
}

func TestRatio_NoneWithoutEngineFigure(t *testing.T) {
	r := sampleReport()
	row, _ := r.Row("busy hooks with events", "hub, members")
	_, ok := r.Ratio(row)
	require.False(t, ok, "the figures are ratios")
	_, ok = r.Ratio(Row{Case: "read/members=1/goroutines=2", Figures: []float64{1, 2}})
	require.False(t, ok, "different numbers of passes")
	_, ok = r.Row("unknown", "unknown")
	require.False(t, ok)
}

func TestSummarize_EvenNumberOfValues(t *testing.T) {
	require.Equal(t, Summary{2.5, 1, 4}, summarize([]float64{4, 1, 3, 2}))
}

func TestReadCSV_ReturnsWrittenReport(t *testing.T) {
	want := sampleReport()
	var file bytes.Buffer
	require.NoError(t, want.WriteCSV(&file))
	got, err := ReadCSV(&file)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// If a file is read and written again, no digit changes.
func TestCSV_UnchangedWhenWrittenAgain(t *testing.T) {
	r := sampleReport()
	r.Rows[0].Figures = []float64{1.0 / 3, 2.0 / 3, 100_000.0 / 3}
	r.Rows[1].Figures = []float64{1.23456789, 9.87654321, 5.55555555}
	var once, twice bytes.Buffer
	require.NoError(t, r.WriteCSV(&once))
	read, err := ReadCSV(bytes.NewReader(once.Bytes()))
	require.NoError(t, err)
	require.NoError(t, read.WriteCSV(&twice))
	require.Equal(t, once.String(), twice.String())
}

func TestReadCSV_InvalidFile(t *testing.T) {
	var file bytes.Buffer
	require.NoError(t, sampleReport().WriteCSV(&file))
	valid := file.String()
	for name, invalid := range map[string]string{
		"empty":       "",
		"other file":  "a,b\n1,2\n",
		"header only": strings.SplitAfter(valid, "\n")[0],
		"cores":       strings.Replace(valid, ",2,go1", ",two,go1", 1),
		"bad pass":    strings.Replace(valid, "10 20 10", "10 x 10", 1),
		"no passes":   strings.Replace(valid, "10 20 10", "", 1),
		"truncated":   valid[:len(valid)-20],
	} {
		_, err := ReadCSV(strings.NewReader(invalid))
		require.Error(t, err, name)
	}
	require.Error(t, sampleReport().WriteCSV(failingWriter{}))
}

// failingWriter is a writer that always returns an error.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestTables_ContainFiguresAndRatios(t *testing.T) {
	r := sampleReport()
	table := r.CaseTable("join+leave/rooms=1000/goroutines=2")
	require.Contains(t, table, "\n## join+leave, 1,000 rooms, 2 goroutines\n")
	require.Contains(t, table, "| hub, members    |            3.00 µs |      1.00 µs–4.00 µs |             100 (100–400) |")
	require.Contains(t, r.Markdown(), table)
	require.Contains(t, r.CaseTable("busy hooks with events"), "| hub, members    |             1.50 × |        1.50 ×–1.50 × |                         – |")

	page := r.PageTables()
	require.Contains(t, page, "| occupancy | **10.0 ns** | **10.0 ns** | – | – | – | – |\n| hub, members | × 2.00 (2.00–2.00) | × 100 (100–400) |")
	require.Contains(t, page, "| occupancy | **10.0 ns** | – | – | **100 bytes** |")
	require.Contains(t, page, "the median of 1 to 3 passes")
	require.NotContains(t, page, "channel loop", "it has no figures")
}

func TestReplaceTables_ChangesOnlyTextBetweenMarks(t *testing.T) {
	page := "before\n" + beginMark + "old\n" + endMark + "after\n"
	updated, err := ReplaceTables(page, "new\n")
	require.NoError(t, err)
	require.Equal(t, "before\n"+beginMark+"new\n"+endMark+"after\n", updated)
	tables, err := Tables(updated)
	require.NoError(t, err)
	require.Equal(t, "new\n", tables)
	for _, invalid := range []string{"", beginMark, endMark + beginMark} {
		_, err := ReplaceTables(invalid, "new\n")
		require.Error(t, err)
	}
}

func TestFormat_ThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.001: "0", 0.014: "0.01", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100",
		1234.5: "1,234", 1234567: "1,234,567", -1: "-1.00"} {
		require.Equal(t, want, formatNumber(v))
	}
	require.Equal(t, []string{"999 ns", "1.00 µs", "2.50 ms", "3.00 s", "5.00 bytes"}, []string{
		formatQuantity(999, "ns"), formatQuantity(1e3, "ns"), formatQuantity(2.5e6, "ns"), formatQuantity(3e9, "ns"), formatQuantity(5, "bytes")})
	require.Equal(t, "a, 1 room, 2 goroutines", heading("a/rooms=1/goroutines=2"))
}

func TestWriteSVG_EveryPlot(t *testing.T) {
	r := sampleReport()
	require.Equal(t, plots, r.Plots())
	require.Empty(t, Report{}.Plots())
	for _, p := range plots {
		var svg bytes.Buffer
		require.NoError(t, p.WriteSVG(&svg, r), p.File)
		text := svg.String()
		require.Contains(t, text, "less is better", p.File)
		require.Contains(t, text, "hub, members", p.File)
		d := xml.NewDecoder(&svg)
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else {
				require.NoError(t, err, p.File)
			}
		}
	}
}

func TestPlot_OnlyCasesWithAllCores(t *testing.T) {
	r := sampleReport()
	require.Equal(t, []column{{"1", "join+leave/rooms=1/goroutines=2"}, {"1,000", "join+leave/rooms=1000/goroutines=2"}},
		Plot{prefix: "join+leave/rooms="}.columns(r))
	require.Equal(t, []column{{"1", "join+leave/rooms=1/goroutines=1"}, {"2", "join+leave/rooms=1/goroutines=2"}},
		Plot{prefix: "join+leave/rooms=1/goroutines="}.columns(r))
}

func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	require.NotEmpty(t, m.CPU)
	require.Positive(t, m.Cores)
	require.Regexp(t, `^\d{4}-\d\d-\d\d$`, m.Date)
}
