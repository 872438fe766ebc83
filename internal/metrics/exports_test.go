package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics/metricstest"
)

func TestExports(t *testing.T) {
	at := func(seconds int64) *metav1.Time { return new(metav1.NewTime(time.Unix(seconds, 0))) }
	export := func(name string, status v1alpha1.ResourcePackageExportStatus) *v1alpha1.ResourcePackageExport {
		return &v1alpha1.ResourcePackageExport{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}, Status: status}
	}
	// running is an export that is under way.
	running := func(name string, attempts int32, next *metav1.Time) *v1alpha1.ResourcePackageExport {
		return export(name, v1alpha1.ResourcePackageExportStatus{Run: &v1alpha1.ExportRun{Trigger: v1alpha1.ExportTriggerSpec, Attempts: attempts, NextAttemptTime: next}})
	}
	older := v1alpha1.StoredExport{SizeBytes: 1, StartedAt: *at(10), CompletedAt: at(20)}
	reader := readerOf(t,
		export("new", v1alpha1.ResourcePackageExportStatus{}),
		running("waits", 0, nil),
		running("first", 1, nil),
		running("second", 2, nil),
		running("failed-twice", 2, at(5000)),
		export("done", v1alpha1.ResourcePackageExportStatus{Exports: []v1alpha1.StoredExport{{SizeBytes: 4096, StartedAt: *at(900), CompletedAt: at(1000)}, older}}),
		export("unchanged", v1alpha1.ResourcePackageExportStatus{Exports: []v1alpha1.StoredExport{{SizeBytes: 4096, StartedAt: *at(900), CompletedAt: at(1000), UnchangedAt: at(2000)}, older}}),
		export("done-and-failing", v1alpha1.ResourcePackageExportStatus{
			Exports: []v1alpha1.StoredExport{older}, Run: &v1alpha1.ExportRun{Trigger: v1alpha1.ExportTriggerSchedule, Attempts: 3, NextAttemptTime: at(5000)},
		}),
		export("never-completed", v1alpha1.ResourcePackageExportStatus{Exports: []v1alpha1.StoredExport{{SizeBytes: 4096, StartedAt: *at(900)}}}),
	)
	progress := func() map[types.NamespacedName]int64 {
		return map[types.NamespacedName]int64{{Namespace: "n", Name: "first"}: 24, {Namespace: "n", Name: "second"}: 1 << 40}
	}
	got := metricstest.Gather(t, metrics.Exports{Reader: reader, Clock: clocktesting.NewFakePassiveClock(time.Unix(10_000, 0)), Progress: progress})
	want := map[string]float64{
		"exports namespace=n state=Idle": 4, "exports namespace=n state=Running": 2, "exports namespace=n state=Failing": 3,
		"exports_overdue namespace=n": 0, "export_received_bytes namespace=n": 1<<40 + 24, "export_stored_bytes namespace=n": 3*4096 + 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// TestOverdueExports: the clock stands at 10,000 s, so an hour ago is 6,400.
func TestOverdueExports(t *testing.T) {
	at := func(seconds int64) *metav1.Time { return new(metav1.NewTime(time.Unix(seconds, 0))) }
	notReadySince := func(seconds int64) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonExportRunning, LastTransitionTime: *at(seconds)}}
	}
	tests := map[string]struct {
		status  v1alpha1.ResourcePackageExportStatus
		suspend bool
		want    float64
	}{
		"it has never run":                         {},
		"its schedule is to come":                  {status: v1alpha1.ResourcePackageExportStatus{NextScheduleTime: at(20_000)}},
		"its schedule was passed a moment ago":     {status: v1alpha1.ResourcePackageExportStatus{NextScheduleTime: at(9_000)}},
		"its schedule was passed and nothing ran":  {status: v1alpha1.ResourcePackageExportStatus{NextScheduleTime: at(6_000)}, want: 1},
		"it was due, and is suspended":             {status: v1alpha1.ResourcePackageExportStatus{NextScheduleTime: at(6_000)}, suspend: true},
		"the scheduled run has begun a moment ago": {status: v1alpha1.ResourcePackageExportStatus{Run: &v1alpha1.ExportRun{ScheduledTime: at(9_000), Attempts: 3}}},
		"the scheduled run fails for hours":        {status: v1alpha1.ResourcePackageExportStatus{Run: &v1alpha1.ExportRun{ScheduledTime: at(1_000), Attempts: 3}, NextScheduleTime: at(20_000)}, want: 1},
		"the run of an hourly schedule goes on for hours": {
			status: v1alpha1.ResourcePackageExportStatus{Run: &v1alpha1.ExportRun{ScheduledTime: at(9_000), Attempts: 1}, SyncStatus: v1alpha1.SyncStatus{Conditions: notReadySince(1_000)}}, want: 1,
		},
		"the run of an edit has begun a moment ago": {status: v1alpha1.ResourcePackageExportStatus{Run: &v1alpha1.ExportRun{StartedAt: at(9_900)}, SyncStatus: v1alpha1.SyncStatus{Conditions: notReadySince(9_000)}}},
		"the run of an edit fails for hours":        {status: v1alpha1.ResourcePackageExportStatus{Run: &v1alpha1.ExportRun{StartedAt: at(9_900)}, SyncStatus: v1alpha1.SyncStatus{Conditions: notReadySince(1_000)}}, want: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			export := &v1alpha1.ResourcePackageExport{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "e"}, Status: tc.status}
			export.Spec.Suspend = tc.suspend
			got := metricstest.Gather(t, metrics.Exports{
				Reader: readerOf(t, export), Clock: clocktesting.NewFakePassiveClock(time.Unix(10_000, 0)), Progress: func() map[types.NamespacedName]int64 { return nil },
			})
			if got["exports_overdue namespace=n"] != tc.want {
				t.Errorf("got %v overdue, want %v", got["exports_overdue namespace=n"], tc.want)
			}
		})
	}
}

// TestExportsThatCannotBeListed: a collection that knows nothing says so, rather than that there is nothing.
func TestExportsThatCannotBeListed(t *testing.T) {
	// The scheme lacks the kind.
	reader := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).Build()
	failure := reader.List(t.Context(), &v1alpha1.ResourcePackageExportList{})
	if failure == nil {
		t.Fatal("the list does not fail, so this proves nothing")
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(metrics.Exports{Reader: reader, Clock: clocktesting.NewFakePassiveClock(time.Unix(0, 0)), Progress: func() map[types.NamespacedName]int64 { return nil }}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err == nil || !strings.Contains(err.Error(), failure.Error()) || len(families) > 0 {
		t.Errorf("got %d families and %v, want the failure", len(families), err)
	}
}
