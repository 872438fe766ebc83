package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

var (
	exportLastDesc = prometheus.NewDesc("maxcompute_operator_export_last_success_timestamp_seconds",
		"When a ResourcePackageExport was last completed, or found unchanged, in seconds since the epoch; absent before the first time.", []string{"namespace", "name"}, nil)
	exportSizeDesc = prometheus.NewDesc("maxcompute_operator_export_last_size_bytes",
		"Size of the last export of a ResourcePackageExport, in bytes.", []string{"namespace", "name"}, nil)
	exportAttemptsDesc = prometheus.NewDesc("maxcompute_operator_export_failed_attempts",
		"How many attempts of the present run of a ResourcePackageExport have failed; 0 if it has no run or none has failed.", []string{"namespace", "name"}, nil)
	exportProgressDesc = prometheus.NewDesc("maxcompute_operator_export_received_bytes",
		"How many bytes an export that is under way has received.", []string{"namespace", "name"}, nil)
)

// Exports tells of ResourcePackageExports each time it is asked. It implements prometheus.Collector.
type Exports struct {
	// Reader reads the objects from the manager's cache.
	Reader client.Reader
	// Progress is how many bytes the exports that are under way have received.
	Progress func() map[types.NamespacedName]int64
}

// Describe implements prometheus.Collector.
func (Exports) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- exportLastDesc
	descriptions <- exportSizeDesc
	descriptions <- exportAttemptsDesc
	descriptions <- exportProgressDesc
}

// Collect implements prometheus.Collector.
func (e Exports) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	list := &v1alpha1.ResourcePackageExportList{}
	if err := e.Reader.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		out <- prometheus.NewInvalidMetric(exportLastDesc, err)
		return
	}
	gauge := func(description *prometheus.Desc, value float64, namespace, name string) {
		out <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, namespace, name)
	}
	for i := range list.Items {
		export := &list.Items[i]
		failed := 0
		if run := export.Status.Run; run != nil {
			failed = int(run.Attempts)
			if run.NextAttemptTime == nil {
				// The last of them is under way.
				failed = max(failed-1, 0)
			}
		}
		gauge(exportAttemptsDesc, float64(failed), export.Namespace, export.Name)
		if last, ok := lastSuccess(export); ok {
			gauge(exportLastDesc, last, export.Namespace, export.Name)
			gauge(exportSizeDesc, float64(export.Status.Exports[0].SizeBytes), export.Namespace, export.Name)
		}
	}
	for name, received := range e.Progress() {
		gauge(exportProgressDesc, float64(received), name.Namespace, name.Name)
	}
}

// lastSuccess is when the newest of the exports was completed, or found to be the same as what the service has.
func lastSuccess(export *v1alpha1.ResourcePackageExport) (seconds float64, ok bool) {
	if len(export.Status.Exports) == 0 {
		return 0, false
	}
	switch newest := export.Status.Exports[0]; {
	case newest.UnchangedAt != nil:
		return float64(newest.UnchangedAt.Unix()), true
	case newest.CompletedAt != nil:
		return float64(newest.CompletedAt.Unix()), true
	}
	return 0, false
}
