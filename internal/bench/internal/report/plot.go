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
	"gonum.org/v1/plot/vg"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// Plot is a plot of some cases, in a separate file.
type Plot struct {
	File, Title string
	draw        func(r Report, title string) (*plot.Plot, *plot.Legend, error)
}

// Plots are all the plots of a report.
var Plots = []Plot{
	{"join-leave.svg", "One Join and one Leave, all cores",
		lines("join+leave/rooms=", "rooms, each with one permanent connection")},
	{"read.svg", "Reading a room's count, all cores",
		lines("read/members=", "members of the room")},
	{"fan-out.svg", "Delivery of one event to all subscribers",
		lines("fan-out/subscribers=", "subscribers of the room")},
	{"latency.svg", "Time from a change until the subscriber has read the event: p50, p99, p99.9",
		dots("event latency/")},
	{"memory.svg", "Memory of a room with one connection",
		bars("memory per room/", "bytes, including the name; less is better")},
}

// WriteSVG writes the plot of a report.
func (p Plot) WriteSVG(w io.Writer, r Report) error {
	drawing, legend, err := p.draw(r, p.Title)
	if err != nil {
		return fmt.Errorf("%s: %w", p.File, err)
	}
	return render(w, drawing, legend)
}

// lines draws a line for each implementation. A point of the line is a case whose name
// begins with prefix, and the number after the prefix is its place on the horizontal axis.
// lines ignores the cases with fewer goroutines than cores.
func lines(prefix, xlabel string) func(Report, string) (*plot.Plot, *plot.Legend, error) {
	return func(r Report, title string) (*plot.Plot, *plot.Legend, error) {
		p := newPlot(title)
		useTimeAxis(&p.Y)
		// The label of the vertical axis is part of the title, because gonum places a label
		// near the top of a logarithmic axis.
		p.Title.Text += ": " + timeAxisLabel
		p.X.Label.Text = xlabel
		p.X.Scale = plot.LogScale{}
		var sizes []float64
		type series struct {
			style  style
			name   string
			points plotter.XYs
		}
		var all []series
		for i, m := range impl.All {
			s := series{style: styleOf(i), name: m.Name}
			for _, row := range r.Rows {
				size, ok := sizeOf(row.Case, prefix, r.Machine.Cores)
				if ok && row.Implementation == m.Name {
					s.points = append(s.points, plotter.XY{X: size, Y: row.Summary().Median})
					sizes = append(sizes, size)
				}
			}
			if s.points != nil {
				all = append(all, s)
			}
		}
		if len(all) == 0 {
			return nil, nil, fmt.Errorf("the report has no case that begins with %q", prefix)
		}
		// The legend lists the lines in the order of their last values, the greatest first.
		slices.SortStableFunc(all, func(a, b series) int {
			return cmp.Compare(b.points[len(b.points)-1].Y, a.points[len(a.points)-1].Y)
		})
		legend := newLegend()
		for _, s := range all {
			line, points, err := plotter.NewLinePoints(s.points)
			if err != nil {
				return nil, nil, err
			}
			line.LineStyle, points.GlyphStyle = s.style.line, s.style.glyph
			p.Add(line, points)
			legend.Add(s.name, line, points)
		}
		p.X.Tick.Marker = sizeTicks(sizes)
		if p.X.Min == p.X.Max { // a single size; a logarithmic axis needs a range
			p.X.Min, p.X.Max = p.X.Min/2, p.X.Max*2
		}
		return p, &legend, nil
	}
}

// sizeOf returns the number after the prefix of a case's name. It returns false if the
// name does not begin with prefix, or if the case has fewer goroutines than cores.
func sizeOf(name, prefix string, cores int) (float64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	size, goroutines, found := strings.Cut(rest, "/goroutines=")
	if found && goroutines != strconv.Itoa(cores) {
		return 0, false
	}
	v, err := strconv.ParseFloat(size, 64)
	return v, err == nil
}

// dots draws a row of dots for each implementation and load. Each dot is a percentile.
func dots(prefix string) func(Report, string) (*plot.Plot, *plot.Legend, error) {
	return func(r Report, title string) (*plot.Plot, *plot.Legend, error) {
		p := newPlot(title)
		useTimeAxis(&p.X)
		p.X.Label.Text = timeAxisLabel
		var names []string
		points := map[string]plotter.XYs{} // by percentile
		var percentiles []string
		for _, spec := range slices.Backward(impl.All) {
			for _, group := range []string{"full load", "fixed load", "idle"} {
				before := len(names)
				for _, row := range r.Rows {
					percentile, ok := strings.CutPrefix(row.Case, prefix+group+"/")
					if !ok || row.Implementation != spec.Name || !strings.HasPrefix(percentile, "p") {
						continue
					}
					if !slices.Contains(percentiles, percentile) {
						percentiles = append(percentiles, percentile)
					}
					if len(names) == before {
						names = append(names, spec.Name+", "+group)
					}
					points[percentile] = append(points[percentile], plotter.XY{X: row.Summary().Median, Y: float64(before)})
				}
			}
		}
		if len(names) == 0 {
			return nil, nil, fmt.Errorf("the report has no case that begins with %q", prefix)
		}
		legend := newLegend()
		for i, percentile := range percentiles {
			s, err := plotter.NewScatter(points[percentile])
			if err != nil {
				return nil, nil, err
			}
			s.GlyphStyle = styleOf(3 * i).glyph // neighboring colors are too similar, so take every third
			s.Radius = vg.Points(4.5)
			p.Add(s)
			legend.Add(percentile, s)
		}
		p.NominalY(names...)
		p.X.Min /= 1.5
		p.X.Max *= 1.5
		return p, &legend, nil
	}
}

// bars draws a bar for each implementation. Only one case may begin with prefix.
func bars(prefix, xlabel string) func(Report, string) (*plot.Plot, *plot.Legend, error) {
	return func(r Report, title string) (*plot.Plot, *plot.Legend, error) {
		p := newPlot(title)
		p.X.Label.Text = xlabel
		p.X.Min = 0
		labels := plotter.XYLabels{}
		var names []string
		for i, m := range slices.Backward(impl.All) {
			for _, row := range r.Rows {
				if !strings.HasPrefix(row.Case, prefix) || row.Implementation != m.Name {
					continue
				}
				v := row.Summary().Median
				bar, err := plotter.NewBarChart(plotter.Values{v}, vg.Points(16))
				if err != nil {
					return nil, nil, err
				}
				at := float64(len(names))
				bar.Horizontal, bar.XMin = true, at
				bar.Color = styleOf(i).line.Color
				bar.LineStyle.Width = 0
				p.Add(bar)
				names = append(names, m.Name)
				labels.XYs = append(labels.XYs, plotter.XY{X: v, Y: at})
				labels.Labels = append(labels.Labels, formatNumber(v))
			}
		}
		if len(names) == 0 {
			return nil, nil, fmt.Errorf("the report has no case that begins with %q", prefix)
		}
		numbers, err := plotter.NewLabels(labels)
		if err != nil {
			return nil, nil, err
		}
		numbers.Offset = vg.Point{X: vg.Points(4), Y: -vg.Points(4)}
		p.Add(numbers)
		p.NominalY(names...)
		p.X.Max *= 1.1
		return p, nil, nil
	}
}
