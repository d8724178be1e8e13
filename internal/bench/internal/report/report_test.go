package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// sample has the engine and the hub in a few cases, of every kind that a plot needs.
func sample() Report {
	r := Report{Machine: Machine{CPU: "A, \"quoted\" CPU", Cores: 2, Go: "go1", OS: "os/arch", Date: "2001-02-03"}}
	add := func(name, unit string, engine, hub []float64) {
		r.Rows = append(r.Rows,
			Row{Case: name, Peer: peer.Engine, Unit: unit, Passes: engine},
			Row{Case: name, Peer: "hub, members", Unit: unit, Passes: hub})
	}
	// The second pass ran at half the speed: the ratio stays 3.
	add("join+leave/rooms=1/goroutines=1", "ns", []float64{7, 7, 7}, []float64{7, 7, 7})
	add("join+leave/rooms=1/goroutines=2", "ns", []float64{10, 20, 10}, []float64{30, 60, 30})
	add("join+leave/rooms=1000/goroutines=2", "ns", []float64{10, 10, 30}, []float64{1000, 4000, 3000})
	add("read/members=1/goroutines=2", "ns", []float64{1}, []float64{2})
	add("event to all/subscribers=1", "ns", []float64{1}, []float64{2})
	add("change to event/idle/p50", "ns", []float64{1e6}, []float64{2e6})
	add("memory of a room/rooms=1000000", "bytes", []float64{100}, []float64{200})
	r.Rows = append(r.Rows, Row{Case: "at rest/rooms=1", Peer: "hub, members", Unit: "µs/s", Alone: true, Passes: []float64{0}})
	return r
}

func TestRatiosArePairedPassByPass(t *testing.T) {
	r := sample()
	row, ok := r.Row("join+leave/rooms=1/goroutines=2", "hub, members")
	require.True(t, ok)
	ratio, ok := r.Ratio(row)
	require.True(t, ok)
	require.Equal(t, Spread{3, 3, 3}, ratio)

	row, _ = r.Row("join+leave/rooms=1000/goroutines=2", "hub, members")
	require.Equal(t, Spread{3000, 1000, 4000}, row.Figure())
	ratio, _ = r.Ratio(row)
	require.Equal(t, Spread{100, 100, 400}, ratio)
}

func TestNoRatioWithoutTheEnginesFigure(t *testing.T) {
	r := sample()
	row, _ := r.Row("at rest/rooms=1", "hub, members")
	_, ok := r.Ratio(row)
	require.False(t, ok)
	_, ok = r.Ratio(Row{Case: "read/members=1/goroutines=2", Passes: []float64{1, 2}})
	require.False(t, ok, "of another number of passes")
	_, ok = r.Row("nothing", "nobody")
	require.False(t, ok)
}

func TestMedianOfAnEvenNumber(t *testing.T) {
	require.Equal(t, Spread{2.5, 1, 4}, spread([]float64{4, 1, 3, 2}))
}

func TestCSVIsReadAsItWasWritten(t *testing.T) {
	want := sample()
	var file bytes.Buffer
	require.NoError(t, want.WriteCSV(&file))
	got, err := ReadCSV(&file)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// The ratios in the file are those of the figures in it, not of what was measured.
func TestCSVIsTheSameWhenWrittenAgain(t *testing.T) {
	r := sample()
	r.Rows[0].Passes = []float64{1.0 / 3, 2.0 / 3, 100_000.0 / 3}
	r.Rows[1].Passes = []float64{1.23456789, 9.87654321, 5.55555555}
	var once, twice bytes.Buffer
	require.NoError(t, r.WriteCSV(&once))
	read, err := ReadCSV(bytes.NewReader(once.Bytes()))
	require.NoError(t, err)
	require.NoError(t, read.WriteCSV(&twice))
	require.Equal(t, once.String(), twice.String())
	require.Equal(t, 1.0/3, r.Rows[0].Passes[0], "and writing changes nothing")
}

func TestBadCSVIsAnError(t *testing.T) {
	var file bytes.Buffer
	require.NoError(t, sample().WriteCSV(&file))
	good := file.String()
	for name, bad := range map[string]string{
		"empty":       "",
		"another":     "a,b\n1,2\n",
		"header only": strings.SplitAfter(good, "\n")[0],
		"cores":       strings.Replace(good, ",2,go1", ",two,go1", 1),
		"a pass":      strings.Replace(good, "10 20 10", "10 x 10", 1),
		"no pass":     strings.Replace(good, "10 20 10", "", 1),
		"cut":         good[:len(good)-20],
	} {
		_, err := ReadCSV(strings.NewReader(bad))
		require.Error(t, err, name)
	}
	require.Error(t, sample().WriteCSV(full{}))
}

// full is a disk that is.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestTablesSayTheFiguresAndTheRatios(t *testing.T) {
	r := sample()
	var b strings.Builder
	require.NoError(t, r.Print(&b, "join+leave/rooms=1000/goroutines=2"))
	require.Contains(t, b.String(), "join+leave, 1,000 rooms, 2 goroutines\n")
	require.Contains(t, b.String(), "3.00 µs  1.00 µs–4.00 µs     × 100 (100–400)")

	require.Contains(t, r.Markdown(), "| hub, members | 3.00 µs | 1.00 µs–4.00 µs | 100 (100–400) |")
	require.Contains(t, r.Markdown(), "| hub, members | 0 µs/s | 0 µs/s–0 µs/s | – |")

	readme := r.ReadmeTables()
	require.Contains(t, readme, "| occupancy | **10.0 ns** | **10.0 ns** | – | – | – | **100 bytes** | Join and Leave by name |")
	require.Contains(t, readme, "| hub, members | × 100 (100–400) | × 3.00 (3.00–3.00) |")
	require.Contains(t, readme, "medians of 1 to 3 passes")
}

func TestReadmeIsChangedBetweenItsMarksOnly(t *testing.T) {
	readme := "before\n" + begin + "old\n" + end + "after\n"
	renewed, err := Replace(readme, "new\n")
	require.NoError(t, err)
	require.Equal(t, "before\n"+begin+"new\n"+end+"after\n", renewed)
	shown, err := Between(renewed)
	require.NoError(t, err)
	require.Equal(t, "new\n", shown)
	for _, none := range []string{"", begin, end + begin} {
		_, err := Replace(none, "new\n")
		require.Error(t, err)
	}
}

func TestNumbersAreWrittenWithThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.001: "0", 0.014: "0.01", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100",
		1234.5: "1,234", 1234567: "1,234,567", -1: "-1.00"} {
		require.Equal(t, want, digits(v))
	}
	require.Equal(t, []string{"999 ns", "1.00 µs", "2.50 ms", "3.00 s", "5.00 bytes"}, []string{
		quantity(999, "ns"), quantity(1e3, "ns"), quantity(2.5e6, "ns"), quantity(3e9, "ns"), quantity(5, "bytes")})
	require.Equal(t, "a, 1 room, 2 goroutines", label("a/rooms=1/goroutines=2"))
}

func TestPlotsAreSVGWithTheirUnits(t *testing.T) {
	for _, p := range Plots {
		var svg bytes.Buffer
		require.NoError(t, p.WriteSVG(&svg, sample()), p.File)
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
		require.ErrorContains(t, p.WriteSVG(io.Discard, Report{}), p.File, "nothing to draw")
	}
}

func TestLinesAreOfAllCores(t *testing.T) {
	size, ok := sizeOf("read/members=100/goroutines=2", "read/members=", 2)
	require.True(t, ok)
	require.Equal(t, 100.0, size)
	_, ok = sizeOf("read/members=100/goroutines=1", "read/members=", 2)
	require.False(t, ok)
	_, ok = sizeOf("event/subscribers=100", "read/members=", 2)
	require.False(t, ok)
}

func TestThisMachineHasAName(t *testing.T) {
	m := ThisMachine()
	require.NotEmpty(t, m.CPU)
	require.Positive(t, m.Cores)
	require.Regexp(t, `^\d{4}-\d\d-\d\d$`, m.Date)
}
