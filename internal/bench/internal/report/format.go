package report

import (
	"fmt"
	"strconv"
)

// quantity is a figure with its unit, of three digits: "57.1 ns", "1.20 ms", "106 bytes".
func quantity(v float64, unit string) string {
	if unit == "ns" {
		for _, u := range []struct {
			name string
			ns   float64
		}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
			if v >= u.ns {
				return digits(v/u.ns) + " " + u.name
			}
		}
	}
	return digits(v) + " " + unit
}

// times is a ratio with its spread: "7.2 (6.9–8.1)".
func times(s Spread) string {
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Least), digits(s.Most))
}

// digits is a number to three digits, or to the unit if it has more, with commas.
func digits(v float64) string {
	switch {
	case v >= 99.95:
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v > -0.005 && v < 0.005:
		return "0"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
