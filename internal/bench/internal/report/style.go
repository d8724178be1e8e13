package report

import (
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	width       = 22 * vg.Centimeter
	height      = 12 * vg.Centimeter
	legendWidth = 4.4 * vg.Centimeter
)

func init() { plot.DefaultFont.Variant, plotter.DefaultFont.Variant = "Sans", "Sans" }

// style is the line and the glyph of an implementation. Both the color and the shape
// identify it.
type style struct {
	line  draw.LineStyle
	glyph draw.GlyphStyle
}

// colors are distinguishable with any color vision.
var colors = []color.RGBA{
	{0, 0, 0, 255}, {110, 110, 110, 255}, {230, 159, 0, 255}, {213, 94, 0, 255}, {204, 121, 167, 255},
	{86, 180, 233, 255}, {0, 114, 178, 255}, {0, 158, 115, 255}, {200, 180, 0, 255}, {150, 80, 30, 255},
}

var shapes = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.RingGlyph{}, draw.SquareGlyph{}, draw.BoxGlyph{}, draw.TriangleGlyph{},
	draw.PyramidGlyph{}, draw.PlusGlyph{}, draw.CrossGlyph{},
}

// styleOf returns the style of the i-th implementation. The engine, the first, has the
// boldest line.
func styleOf(i int) style {
	s := style{
		line:  draw.LineStyle{Color: colors[i%len(colors)], Width: vg.Points(1.4)},
		glyph: draw.GlyphStyle{Color: colors[i%len(colors)], Radius: vg.Points(3), Shape: shapes[i%len(shapes)]},
	}
	if i == 0 {
		s.line.Width = vg.Points(3)
	}
	return s
}

func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(14)
	p.Title.Padding = vg.Points(10)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.Padding = vg.Points(6)
		axis.Label.TextStyle.Font.Size = vg.Points(11)
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{220}, color.Gray{220}
	p.Add(grid)
	return p
}

// timeTicks returns ticks with labels at the powers of ten, and ticks between the powers of
// ten. If the range is short, the ticks at 2 and 5 have labels too.
func timeTicks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := math.Pow10(int(math.Floor(math.Log10(lo)))); decade <= hi; decade *= 10 {
		for i := 1.0; i < 10; i++ {
			if v := i * decade; v >= lo && v <= hi {
				tick := plot.Tick{Value: v}
				if i == 1 || hi/lo < 30 && (i == 2 || i == 5) {
					tick.Label = tickLabel(v)
				}
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}

// tickLabel formats a time: "10 ns", "1 µs".
func tickLabel(ns float64) string {
	for _, u := range []struct {
		name string
		ns   float64
	}{{" s", 1e9}, {" ms", 1e6}, {" µs", 1e3}} {
		if ns >= u.ns {
			return strconv.FormatFloat(ns/u.ns, 'g', 3, 64) + u.name
		}
	}
	return strconv.FormatFloat(ns, 'g', 3, 64) + " ns"
}

func newLegend() plot.Legend {
	l := plot.NewLegend()
	l.Top, l.Left = true, true
	l.Padding = vg.Points(5)
	l.TextStyle.Font.Size = vg.Points(11)
	return l
}

// render writes the plot as SVG. The legend is to the right of the plot, so that it hides no
// line.
func render(w io.Writer, p *plot.Plot, legend plot.Legend) error {
	svg := vgsvg.New(width, height)
	all := draw.New(svg)
	all.SetColor(color.White)
	all.Fill(all.Path())
	legend.Draw(draw.Crop(all, width-legendWidth+vg.Points(10), 0, 0, -vg.Points(36)))
	p.Draw(draw.Crop(all, vg.Points(4), -legendWidth, vg.Points(4), -vg.Points(6)))
	_, err := svg.WriteTo(w)
	return err
}
