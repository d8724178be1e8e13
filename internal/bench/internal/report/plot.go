package report

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// Plot is a plot of some cases, in a separate file. It has a line for each implementation.
// A point of the line is a case whose name begins with prefix, and the number after the
// prefix is its place on the horizontal axis.
type Plot struct{ File, Title, prefix, xlabel string }

var plots = []Plot{
	{"join-leave.svg", "One Join and one Leave, all cores", "join+leave/rooms=", "rooms, each with one permanent connection"},
	{"curve-1000-rooms.svg", "One Join and one Leave, 1,000 rooms", "join+leave/rooms=1000/goroutines=", "goroutines"},
	{"curve-1-room.svg", "One Join and one Leave, all in the same room", "join+leave/rooms=1/goroutines=", "goroutines"},
	{"fan-out.svg", "Delivery of one event to all subscribers", "fan-out/subscribers=", "subscribers of the room"},
}

// Plots returns the plots that the report has cases for. A point alone is no plot.
func (r Report) Plots() []Plot {
	return slices.DeleteFunc(slices.Clone(plots), func(p Plot) bool {
		lines := p.lines(r)
		return len(lines) == 0 || len(lines[0].points) < 2
	})
}

// line is the line of one implementation.
type line struct {
	name   string
	style  style
	points plotter.XYs
}

// lines returns the lines in the order of their last values, the greatest first.
func (p Plot) lines(r Report) []line {
	var lines []line
	for i, m := range impl.All {
		l := line{name: m.Name, style: styleOf(i)}
		for _, row := range r.Rows {
			if x, ok := p.place(row.Case, r.Machine.Cores); ok && row.Implementation == m.Name {
				l.points = append(l.points, plotter.XY{X: x, Y: row.Summary().Median})
			}
		}
		if l.points != nil {
			lines = append(lines, l)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Compare(b.points[len(b.points)-1].Y, a.points[len(a.points)-1].Y)
	})
	return lines
}

// place returns the place of a case on the horizontal axis. It returns false if the case is
// not part of the plot. A plot over another quantity than goroutines shows only the cases
// with a goroutine for each core.
func (p Plot) place(caseName string, cores int) (float64, bool) {
	rest, ok := strings.CutPrefix(caseName, p.prefix)
	if !ok {
		return 0, false
	}
	x, goroutines, found := strings.Cut(rest, "/goroutines=")
	if found && goroutines != strconv.Itoa(cores) {
		return 0, false
	}
	v, err := strconv.ParseFloat(x, 64)
	return v, err == nil
}

// WriteSVG writes the plot of a report.
func (p Plot) WriteSVG(w io.Writer, r Report) error {
	// The label of the vertical axis is part of the title, because gonum places a label near
	// the top of a logarithmic axis.
	drawing := newPlot(p.Title + ": time, logarithmic, less is better")
	drawing.Y.Scale, drawing.X.Scale = plot.LogScale{}, plot.LogScale{}
	drawing.Y.Tick.Marker = plot.TickerFunc(timeTicks)
	drawing.X.Label.Text = p.xlabel
	legend := newLegend()
	var places []float64
	for _, l := range p.lines(r) {
		path, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return err
		}
		path.LineStyle, points.GlyphStyle = l.style.line, l.style.glyph
		drawing.Add(path, points)
		legend.Add(l.name, path, points)
		for _, point := range l.points {
			places = append(places, point.X)
		}
	}
	drawing.X.Tick.Marker = ticksAt(places)
	return render(w, drawing, legend)
}
