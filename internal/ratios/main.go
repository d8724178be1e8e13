// Command ratios reads the output of several passes of `go test -bench` on standard
// input and prints how many times its floor each benchmark takes: benchmarks beside a
// sub-benchmark named floor are compared with it, pass by pass, so that a machine
// whose speed drifts does not show as a ratio.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

func main() {
	results, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
	if err := results.print(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
}

// results are the values of each benchmark, one a pass, by unit.
type results struct {
	names  []string // in the order of their first pass
	values map[string]map[string][]float64
}

var procs = regexp.MustCompile(`-\d+$`)

func read(r io.Reader) (results, error) {
	res := results{values: map[string]map[string][]float64{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := procs.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
		if res.values[name] == nil {
			res.names = append(res.names, name)
			res.values[name] = map[string][]float64{}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return res, fmt.Errorf("%s: %w", lines.Text(), err)
			}
			res.values[name][fields[i+1]] = append(res.values[name][fields[i+1]], v)
		}
	}
	if err := lines.Err(); err != nil {
		return res, err
	}
	if len(res.names) == 0 {
		return res, fmt.Errorf("no benchmark in the input")
	}
	return res, nil
}

func (r results) print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "benchmark\tmedian ns\t× floor\tmin\tmax\tallocs\tother\t")
	for _, name := range r.names {
		units := r.values[name]
		ratio, least, most := "", "", ""
		if floor := r.floor(name); floor != nil {
			ratios := pairwise(units["ns/op"], floor)
			ratio, least, most = format(median(ratios)), format(slices.Min(ratios)), format(slices.Max(ratios))
		}
		allocs := ""
		if a := units["allocs/op"]; a != nil {
			allocs = strconv.FormatFloat(median(a), 'f', -1, 64)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, strconv.FormatFloat(median(units["ns/op"]), 'f', 1, 64),
			ratio, least, most, allocs, other(units))
	}
	return out.Flush()
}

// floor is the floor's times, or nil for a benchmark that has or is none.
func (r results) floor(name string) []float64 {
	group, leaf, ok := cutLast(name)
	if !ok || leaf == "floor" {
		return nil
	}
	return r.values[group+"/floor"]["ns/op"]
}

func cutLast(name string) (before, after string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// other lists the units that have no column.
func other(units map[string][]float64) string {
	var list []string
	for unit, values := range units {
		if !slices.Contains([]string{"ns/op", "B/op", "allocs/op"}, unit) {
			list = append(list, format(median(values))+" "+unit)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func pairwise(ours, floor []float64) []float64 {
	n := min(len(ours), len(floor))
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = ours[i] / floor[i]
	}
	return ratios
}

func median(values []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func format(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
