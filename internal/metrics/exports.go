package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// overdueExport is how long after it was due an export may take to be completed, attempts that fail included.
const overdueExport = time.Hour

// The states of exports.
const (
	exportIdle    = "Idle"
	exportRunning = "Running"
	exportFailing = "Failing"
)

var (
	exportsDesc = prometheus.NewDesc("maxcompute_operator_exports",
		"How many ResourcePackageExports there are: Idle without a run, Running in a first attempt, Failing after one that failed.", []string{"namespace", "state"}, nil)
	overdueExportsDesc = prometheus.NewDesc("maxcompute_operator_exports_overdue",
		"How many ResourcePackageExports that are not suspended were due more than an hour ago and are not completed.", []string{"namespace"}, nil)
	receivedDesc = prometheus.NewDesc("maxcompute_operator_export_received_bytes",
		"How many bytes the exports that are under way have received.", []string{"namespace"}, nil)
	storedDesc = prometheus.NewDesc("maxcompute_operator_export_stored_bytes",
		"How many bytes the exports have that are kept.", []string{"namespace"}, nil)
)

// Exports tells of ResourcePackageExports each time it is asked. It implements prometheus.Collector.
type Exports struct {
	// Reader reads the objects from the manager's cache.
	Reader client.Reader
	Clock  clock.PassiveClock
	// Progress is how many bytes the exports that are under way have received.
	Progress func() map[types.NamespacedName]int64
}

// Describe implements prometheus.Collector.
func (Exports) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{exportsDesc, overdueExportsDesc, receivedDesc, storedDesc} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (e Exports) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	list := &v1alpha1.ResourcePackageExportList{}
	if err := e.Reader.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		out <- prometheus.NewInvalidMetric(exportsDesc, err)
		return
	}
	type totals struct {
		states           map[string]int
		overdue          int
		received, stored int64
	}
	namespaces, now := map[string]*totals{}, e.Clock.Now()
	for i := range list.Items {
		export := &list.Items[i]
		t := namespaces[export.Namespace]
		if t == nil {
			t = &totals{states: map[string]int{exportIdle: 0, exportRunning: 0, exportFailing: 0}}
			namespaces[export.Namespace] = t
		}
		t.states[exportState(export)]++
		if isOverdue(export, now) {
			t.overdue++
		}
		for _, stored := range export.Status.Exports {
			t.stored += stored.SizeBytes
		}
	}
	for name, received := range e.Progress() {
		if t := namespaces[name.Namespace]; t != nil {
			t.received += received
		}
	}
	for namespace, t := range namespaces {
		for state, n := range t.states {
			gauge(out, exportsDesc, float64(n), namespace, state)
		}
		gauge(out, overdueExportsDesc, float64(t.overdue), namespace)
		gauge(out, receivedDesc, float64(t.received), namespace)
		gauge(out, storedDesc, float64(t.stored), namespace)
	}
}

// exportState tells whether an export runs, and whether attempts of it have failed.
func exportState(export *v1alpha1.ResourcePackageExport) string {
	run := export.Status.Run
	if run == nil {
		return exportIdle
	}
	failed := run.Attempts
	if run.NextAttemptTime == nil {
		// The last of them is under way.
		failed--
	}
	if failed > 0 {
		return exportFailing
	}
	return exportRunning
}

// isOverdue tells whether an export was due and is not completed for too long.
func isOverdue(export *v1alpha1.ResourcePackageExport, now time.Time) bool {
	if export.IsSuspended() || !export.DeletionTimestamp.IsZero() {
		return false
	}
	due := export.Status.NextScheduleTime
	if run := export.Status.Run; run != nil {
		due = run.ScheduledTime
		// It runs for an edit or a request, or for more than one time of its schedule: since when it is not Ready, it has not been completed.
		ready := apimeta.FindStatusCondition(export.Status.Conditions, v1alpha1.ReadyCondition)
		if ready != nil && ready.Status != "True" && (due == nil || ready.LastTransitionTime.Before(due)) {
			due = &ready.LastTransitionTime
		}
	}
	return due != nil && now.Sub(due.Time) > overdueExport
}
