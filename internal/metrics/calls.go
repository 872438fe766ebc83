package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// The codes of calls beside the classes of cloud.Error.
const (
	codeOK        = "OK"
	codeThrottled = "Throttled"
	// codeUnknown is that of a failure which no client has classified; there should be none.
	codeUnknown = "Unknown"
)

// Calls counts calls to cloud services. It implements openapi.Observer, and prometheus.Collector.
type Calls struct {
	collectors
	requests  *prometheus.CounterVec
	throttled *prometheus.CounterVec
	withheld  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	waits     *prometheus.HistogramVec
}

// NewCalls makes a Calls that has counted nothing.
func NewCalls() *Calls {
	c := &Calls{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maxcompute_operator_cloud_requests_total",
			Help: "Calls to cloud services, by service, operation and what came of them: OK, Throttled, or the class of the failure.",
		}, []string{"service", "operation", "code"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maxcompute_operator_cloud_throttled_total", Help: "Calls that a cloud service refused for their rate.",
		}, []string{"service"}),
		withheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maxcompute_operator_cloud_requests_withheld_total",
			Help: "Calls that were not sent, because the rate limit left no room in time or the day's budget is spent.",
		}, []string{"service"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "maxcompute_operator_cloud_request_duration_seconds",
			Help: "How long calls to cloud services took, without the wait for the rate limit; an export until its first byte.",
			// An export is packed while its call waits.
			Buckets: []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600},
		}, []string{"service", "operation"}),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "maxcompute_operator_cloud_limiter_wait_seconds",
			Help:    "How long calls waited for the rate limit of their account.",
			Buckets: []float64{0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300},
		}, []string{"service"}),
	}
	c.collectors = collectors{c.requests, c.throttled, c.withheld, c.durations, c.waits}
	return c
}

// Waited implements openapi.Observer.
func (c *Calls) Waited(service string, wait time.Duration) {
	c.waits.WithLabelValues(service).Observe(wait.Seconds())
}

// Withheld implements openapi.Observer.
func (c *Calls) Withheld(service string) { c.withheld.WithLabelValues(service).Inc() }

// Answered implements openapi.Observer.
func (c *Calls) Answered(service, action string, took time.Duration, err error) {
	code := codeOf(err)
	c.requests.WithLabelValues(service, action, code).Inc()
	c.durations.WithLabelValues(service, action).Observe(took.Seconds())
	// Both exist from the first call on, so that a rate over them is 0 and not nothing.
	refused, withheld := c.throttled.WithLabelValues(service), c.withheld.WithLabelValues(service)
	withheld.Add(0)
	if code == codeThrottled {
		refused.Inc()
	}
}

func codeOf(err error) string {
	if err == nil {
		return codeOK
	}
	e, ok := errors.AsType[*cloud.Error](err)
	switch {
	case !ok:
		return codeUnknown
	case e.Throttled:
		return codeThrottled
	}
	return string(e.Code)
}
