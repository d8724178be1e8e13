package report

import (
	"cmp"
	"fmt"
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

// Plots returns the plots that have at least two places on the horizontal axis.
func (r Report) Plots() []Plot {
	return slices.DeleteFunc(slices.Clone(plots), func(p Plot) bool { return len(p.places(r)) < 2 })
}

// place is a place on the horizontal axis, and the case that the lines show there.
type place struct {
	x        int
	caseName string
}

// places ignores the cases with fewer goroutines than cores, except in a plot over the
// number of goroutines.
func (p Plot) places(r Report) (places []place) {
	for _, name := range r.Cases() {
		rest, ok := strings.CutPrefix(name, p.prefix)
		number := strings.TrimSuffix(rest, fmt.Sprintf("/goroutines=%d", r.Machine.Cores))
		if x, err := strconv.Atoi(number); ok && err == nil {
			places = append(places, place{x, name})
		}
	}
	return places
}

// columns returns the columns of a table with the same figures.
func (p Plot) columns(r Report) (columns []column) {
	for _, at := range p.places(r) {
		columns = append(columns, column{groupDigits(strconv.Itoa(at.x)), at.caseName})
	}
	return columns
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
		for _, at := range p.places(r) {
			if row, ok := r.Row(at.caseName, m.Name); ok {
				l.points = append(l.points, plotter.XY{X: float64(at.x), Y: row.Summary().Median})
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

// WriteSVG writes the plot of a report.
func (p Plot) WriteSVG(w io.Writer, r Report) error {
	// The label of the vertical axis is part of the title, because gonum places a label near
	// the top of a logarithmic axis.
	drawing := newPlot(p.Title + ": time, logarithmic, less is better")
	drawing.Y.Scale, drawing.X.Scale = plot.LogScale{}, plot.LogScale{}
	drawing.Y.Tick.Marker = plot.TickerFunc(timeTicks)
	var ticks plot.ConstantTicks
	for _, at := range p.places(r) {
		ticks = append(ticks, plot.Tick{Value: float64(at.x), Label: groupDigits(strconv.Itoa(at.x))})
	}
	drawing.X.Tick.Marker = ticks
	drawing.X.Label.Text = p.xlabel
	legend := newLegend()
	for _, l := range p.lines(r) {
		path, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return err
		}
		path.LineStyle, points.GlyphStyle = l.style.line, l.style.glyph
		drawing.Add(path, points)
		legend.Add(l.name, path, points)
	}
	drawing.Y.Min, drawing.Y.Max = drawing.Y.Min/2, drawing.Y.Max*2 // the range contains a labelled tick, however small it was
	return render(w, drawing, legend)
}
