package metrics

import "github.com/prometheus/client_golang/prometheus"

// collectors are told of together. They implement prometheus.Collector.
type collectors []prometheus.Collector

// Describe implements prometheus.Collector.
func (c collectors) Describe(descriptions chan<- *prometheus.Desc) {
	for _, collector := range c {
		collector.Describe(descriptions)
	}
}

// Collect implements prometheus.Collector.
func (c collectors) Collect(out chan<- prometheus.Metric) {
	for _, collector := range c {
		collector.Collect(out)
	}
}
