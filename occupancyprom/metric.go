package occupancyprom

import "github.com/prometheus/client_golang/prometheus"

// metric is a metric that shows one value of a T.
type metric[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(v *T) float64
}

func gauge[T any](name, help string, value func(v *T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc("occupancy_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func counter[T any](name, help string, value func(v *T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc("occupancy_"+name, help, nil, nil), prometheus.CounterValue, value}
}

func describe[T any](metrics []metric[T], descs chan<- *prometheus.Desc) {
	for _, m := range metrics {
		descs <- m.desc
	}
}

func collect[T any](metrics []metric[T], v *T, out chan<- prometheus.Metric) {
	for _, m := range metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(v))
	}
}

// boolean returns the value of a gauge that shows whether something is true.
func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
