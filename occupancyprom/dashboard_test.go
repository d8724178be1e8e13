package occupancyprom_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Multi                  bool
		}
	}
	Panels []struct {
		ID      int
		Type    string
		Title   string
		Repeat  string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat, RefID string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	file, err := os.Open("dashboard.json")
	must(t, err)
	defer file.Close()
	var d dashboard
	must(t, json.NewDecoder(file).Decode(&d))
	return d
}

// exportedSamples returns the labels of all samples, by the name of the sample.
func exportedSamples(t *testing.T) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	for _, c := range allCollectors(t) {
		for name, f := range scrape(t, c) {
			var labels []string
			for _, l := range f.Metric[0].Label {
				labels = append(labels, l.GetName())
			}
			switch f.GetType() {
			case dto.MetricType_SUMMARY:
				names[name+"_sum"], names[name+"_count"] = labels, labels
			case dto.MetricType_HISTOGRAM:
				names[name+"_bucket"] = append(labels, "le") // _sum and _count are rarely useful
			default:
				names[name] = labels
			}
		}
	}
	return names
}

var (
	metricName = regexp.MustCompile(`\boccupancy_\w+`)
	byLabels   = regexp.MustCompile(`\bby \(([^)]*)\)`)
	inLegend   = regexp.MustCompile(`{{(\w+)}}`)
	variable   = regexp.MustCompile(`\$(\w+)`)
)

func TestDashboard_ShowsEveryMetric(t *testing.T) {
	d, names := readDashboard(t), exportedSamples(t)
	known := map[string]bool{"__rate_interval": true}
	queried := map[string]bool{}
	for _, v := range d.Templating.List {
		for _, name := range metricName.FindAllString(v.Definition, -1) {
			if _, ok := names[name]; !ok {
				t.Errorf("variable %s queries %s, which is not exported", v.Name, name)
			}
		}
		known[v.Name] = true
	}
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s has no query", p.Title)
		}
		for _, target := range p.Targets {
			labels := []string{"instance", "job"} // every scraped series has them
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				own, ok := names[name]
				if !ok {
					t.Errorf("%s queries %s, which is not exported", p.Title, name)
				}
				labels = append(labels, own...)
				queried[name] = true
				counter := strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_bucket")
				if hasRate := strings.Contains(target.Expr, "rate("+name); hasRate != counter {
					t.Errorf("%s: rate must be used for counters and only for them: %s", p.Title, target.Expr)
				}
			}
			for _, by := range byLabels.FindAllStringSubmatch(target.Expr, -1) {
				if !slices.Contains(labels, by[1]) {
					t.Errorf("%s groups by %s, which is no label of %s", p.Title, by[1], target.Expr)
				}
			}
			for _, legend := range inLegend.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(labels, legend[1]) {
					t.Errorf("%s shows %s, which is no label of %s", p.Title, legend[1], target.Expr)
				}
			}
			for _, v := range variable.FindAllStringSubmatch(target.Expr, -1) {
				if !known[v[1]] {
					t.Errorf("%s uses the unknown variable $%s", p.Title, v[1])
				}
			}
		}
	}
	for name := range names {
		if !queried[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestDashboard_PanelsDoNotOverlap(t *testing.T) {
	d := readDashboard(t)
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s has the ID of another panel", p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.W <= 0 || p.GridPos.H <= 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is outside the grid: %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := cells[cell]; ok {
					t.Fatalf("%s overlaps %s", p.Title, other)
				}
				cells[cell] = p.Title
			}
		}
	}
}

// Grafana repeats a row, with its panels, for each value of a variable that allows several.
func TestDashboard_HasARowForEachNode(t *testing.T) {
	d := readDashboard(t)
	for i, p := range d.Panels {
		if p.Repeat == "" {
			continue
		}
		if p.Type != "row" || p.Repeat != "instance" || !d.Templating.List[2].Multi || d.Templating.List[2].Name != "instance" {
			t.Errorf("%s is not a row for each value of $instance", p.Title)
		}
		for _, panel := range d.Panels[i+1:] {
			for _, target := range panel.Targets {
				if !strings.Contains(target.Expr, `instance="$instance"`) {
					t.Errorf("%s is below the row of a node, but shows other nodes: %s", panel.Title, target.Expr)
				}
			}
		}
		return
	}
	t.Fatal("no row is repeated")
}
