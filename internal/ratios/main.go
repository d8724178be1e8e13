// Command ratios reads the output of several passes of `go test -bench` from its
// standard input and prints a table of the benchmarks. A benchmark can have a sub-benchmark
// with the name "floor", such as BenchmarkJoin/floor. In each pass, ratios divides the times
// of the other sub-benchmarks, such as BenchmarkJoin/hooks, by the time of this one. The
// table shows the median of these ratios. Both times are from the same pass, so the ratios
// stay correct if the speed of the machine changes between passes.
package main

import (
	"bufio"
	"cmp"
	"errors"
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

// results holds the measured values of all benchmarks.
type results struct {
	names  []string                        // in the order of the first pass
	values map[string]map[string][]float64 // by name and unit, one value for each pass
}

var procsSuffix = regexp.MustCompile(`-\d+$`)

func read(r io.Reader) (results, error) {
	res := results{values: map[string]map[string][]float64{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := procsSuffix.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
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
		return res, errors.New("the input contains no benchmark: pipe the output of go test -bench into this command")
	}
	return res, nil
}

func (r results) print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "benchmark\tmedian ns\t× floor\tmin\tmax\tallocs\tother\t")
	for _, name := range r.names {
		units := r.values[name]
		ratio, minimum, maximum := "", "", ""
		if floor := r.floorTimes(name); floor != nil {
			ratios := quotients(units["ns/op"], floor)
			ratio, minimum, maximum = format(median(ratios)), format(slices.Min(ratios)), format(slices.Max(ratios))
		}
		allocs := ""
		if a := units["allocs/op"]; a != nil {
			allocs = strconv.FormatFloat(median(a), 'f', -1, 64)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, strconv.FormatFloat(median(units["ns/op"]), 'f', 1, 64),
			ratio, minimum, maximum, allocs, otherUnits(units))
	}
	return out.Flush()
}

// floorTimes returns the times of the floor of the named benchmark. It returns nil if the
// benchmark has no floor, or is a floor itself.
func (r results) floorTimes(name string) []float64 {
	i := strings.LastIndexByte(name, '/')
	if i < 0 || name[i:] == "/floor" {
		return nil
	}
	return r.values[name[:i]+"/floor"]["ns/op"]
}

// otherUnits lists the values whose units have no column.
func otherUnits(units map[string][]float64) string {
	var list []string
	for unit, values := range units {
		if !slices.Contains([]string{"ns/op", "B/op", "allocs/op"}, unit) {
			list = append(list, format(median(values))+" "+unit)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// quotients divides the time of each pass by the floor's time in the same pass.
func quotients(times, floor []float64) []float64 {
	list := make([]float64, min(len(times), len(floor)))
	for i := range list {
		list[i] = times[i] / floor[i]
	}
	return list
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
