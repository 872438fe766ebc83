package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

var passesWaitingDesc = prometheus.NewDesc("maxcompute_operator_passes_waiting",
	"Objects that are due and wait for others of their namespace or connection, by controller. They hold up nobody else.", []string{"controller"}, nil)

// Gates counts the passes that wait at the gates of controllers each time it is asked. It implements
// prometheus.Collector.
type Gates struct {
	mu      sync.Mutex
	waiting map[string]func() int
}

// Add adds the gate of a controller. Nothing is counted by a nil Gates.
func (g *Gates) Add(controller string, waiting func() int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == nil {
		g.waiting = map[string]func() int{}
	}
	g.waiting[controller] = waiting
}

// Describe implements prometheus.Collector.
func (*Gates) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- passesWaitingDesc }

// Collect implements prometheus.Collector.
func (g *Gates) Collect(out chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for controller, waiting := range g.waiting {
		gauge(out, passesWaitingDesc, float64(waiting()), controller)
	}
}
