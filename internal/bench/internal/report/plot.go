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

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// Plot is a picture of some cases, as a file of that name.
type Plot struct {
	File, Title string
	draw        func(r Report, title string) (*plot.Plot, *plot.Legend, error)
}

// Plots are all the pictures of a report.
var Plots = []Plot{
	{"join-leave.svg", "One Join and one Leave, all cores",
		lines("join+leave/rooms=", "rooms, one connection staying in each")},
	{"read.svg", "Reading a room's count, all cores",
		lines("read/members=", "members of the room")},
	{"fan-out.svg", "One event, until all subscribers have it",
		lines("event to all/subscribers=", "subscribers of the room")},
	{"latency.svg", "From a change until its subscriber has read the event: p50, p99, p99.9",
		dots("change to event/")},
	{"memory.svg", "Memory of a room with one connection",
		bars("memory of a room/", "bytes, the name included: less is better")},
}

// WriteSVG draws the plot.
func (p Plot) WriteSVG(w io.Writer, r Report) error {
	drawing, legend, err := p.draw(r, p.Title)
	if err != nil {
		return fmt.Errorf("%s: %w", p.File, err)
	}
	return render(w, drawing, legend)
}

// lines is a line for each peer over the size at the end of a case's name, if its
// cases begin with prefix. Where there are several numbers of goroutines it is of the
// most.
func lines(prefix, xlabel string) func(Report, string) (*plot.Plot, *plot.Legend, error) {
	return func(r Report, title string) (*plot.Plot, *plot.Legend, error) {
		p := plain(title)
		ofTime(&p.Y)
		// Not beside the axis: gonum keeps room for a label in the middle of the values,
		// which on a logarithmic axis is nearly at its top.
		p.Title.Text += ": " + lessTime
		p.X.Label.Text = xlabel
		p.X.Scale = plot.LogScale{}
		var sizes []float64
		type series struct {
			of     style
			name   string
			points plotter.XYs
		}
		var all []series
		for i, m := range peer.All {
			s := series{of: styleOf(i), name: m.Name}
			for _, row := range r.Rows {
				size, ok := sizeOf(row.Case, prefix, r.Machine.Cores)
				if ok && row.Peer == m.Name {
					s.points = append(s.points, plotter.XY{X: size, Y: row.Figure().Median})
					sizes = append(sizes, size)
				}
			}
			if s.points != nil {
				all = append(all, s)
			}
		}
		if len(all) == 0 {
			return nil, nil, fmt.Errorf("no case begins with %s", prefix)
		}
		// The legend has the order in which the lines end.
		slices.SortStableFunc(all, func(a, b series) int {
			return cmp.Compare(b.points[len(b.points)-1].Y, a.points[len(a.points)-1].Y)
		})
		legend := newLegend()
		for _, s := range all {
			line, points, err := plotter.NewLinePoints(s.points)
			if err != nil {
				return nil, nil, err
			}
			line.LineStyle, points.GlyphStyle = s.of.line, s.of.glyph
			p.Add(line, points)
			legend.Add(s.name, line, points)
		}
		p.X.Tick.Marker = sizeTicks(sizes)
		if p.X.Min == p.X.Max { // one size, which a logarithmic axis cannot begin and end with
			p.X.Min, p.X.Max = p.X.Min/2, p.X.Max*2
		}
		return p, &legend, nil
	}
}

// sizeOf is the number after the prefix of a case's name.
func sizeOf(name, prefix string, cores int) (float64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	size, goroutines, several := strings.Cut(rest, "/goroutines=")
	if several && goroutines != strconv.Itoa(cores) {
		return 0, false
	}
	v, err := strconv.ParseFloat(size, 64)
	return v, err == nil
}

// dots is a line of dots, the quantiles, for each peer and each load.
func dots(prefix string) func(Report, string) (*plot.Plot, *plot.Legend, error) {
	return func(r Report, title string) (*plot.Plot, *plot.Legend, error) {
		p := plain(title)
		ofTime(&p.X)
		p.X.Label.Text = lessTime
		var names []string
		points := map[string]plotter.XYs{} // by the last part
		var parts []string
		for _, who := range slices.Backward(peer.All) {
			for _, group := range []string{"full load", "steady load", "idle"} {
				before := len(names)
				for _, row := range r.Rows {
					last, ok := strings.CutPrefix(row.Case, prefix+group+"/")
					if !ok || row.Peer != who.Name || !strings.HasPrefix(last, "p") {
						continue
					}
					if !slices.Contains(parts, last) {
						parts = append(parts, last)
					}
					if len(names) == before {
						names = append(names, who.Name+", "+group)
					}
					points[last] = append(points[last], plotter.XY{X: row.Figure().Median, Y: float64(before)})
				}
			}
		}
		if len(names) == 0 {
			return nil, nil, fmt.Errorf("no case begins with %s", prefix)
		}
		legend := newLegend()
		for i, part := range parts {
			s, err := plotter.NewScatter(points[part])
			if err != nil {
				return nil, nil, err
			}
			s.GlyphStyle = styleOf(3 * i).glyph // far from one another
			s.Radius = vg.Points(4.5)
			p.Add(s)
			legend.Add(part, s)
		}
		p.NominalY(names...)
		p.X.Min /= 1.5
		p.X.Max *= 1.5
		return p, &legend, nil
	}
}

// bars is a bar for each peer in the one case that begins with prefix.
func bars(prefix, xlabel string) func(Report, string) (*plot.Plot, *plot.Legend, error) {
	return func(r Report, title string) (*plot.Plot, *plot.Legend, error) {
		p := plain(title)
		p.X.Label.Text = xlabel
		p.X.Min = 0
		labels := plotter.XYLabels{}
		var names []string
		for i, m := range slices.Backward(peer.All) {
			for _, row := range r.Rows {
				if !strings.HasPrefix(row.Case, prefix) || row.Peer != m.Name {
					continue
				}
				v := row.Figure().Median
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
				labels.Labels = append(labels.Labels, digits(v))
			}
		}
		if len(names) == 0 {
			return nil, nil, fmt.Errorf("no case begins with %s", prefix)
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
