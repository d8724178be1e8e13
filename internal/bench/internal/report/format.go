package report

import (
	"fmt"
	"strconv"
)

// formatQuantity formats a figure with its unit, to three digits: "57.1 ns", "1.20 ms",
// "106 bytes".
func formatQuantity(v float64, unit string) string {
	if unit == "ns" {
		for _, u := range []struct {
			name string
			ns   float64
		}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
			if v >= u.ns {
				return formatNumber(v/u.ns) + " " + u.name
			}
		}
	}
	return formatNumber(v) + " " + unit
}

// formatRatio formats a ratio with its range: "7.20 (6.90–8.10)".
func formatRatio(s Summary) string {
	return fmt.Sprintf("%s (%s–%s)", formatNumber(s.Median), formatNumber(s.Min), formatNumber(s.Max))
}

// formatNumber formats a number with three digits. It rounds numbers of 100 or more to
// integers, with commas between the thousands.
func formatNumber(v float64) string {
	switch {
	case v >= 99.95:
		return groupDigits(strconv.FormatFloat(v, 'f', 0, 64))
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v > -0.005 && v < 0.005:
		return "0"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
