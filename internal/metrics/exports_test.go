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
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
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
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
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
	).Build()
	progress := func() map[types.NamespacedName]int64 {
		return map[types.NamespacedName]int64{{Namespace: "n", Name: "first"}: 0, {Namespace: "n", Name: "second"}: 1 << 40}
	}
	got := gathered(t, metrics.Exports{Reader: reader, Progress: progress}, "maxcompute_operator_export_")
	want := map[string]float64{
		"failed_attempts name=new namespace=n": 0, "failed_attempts name=waits namespace=n": 0, "failed_attempts name=first namespace=n": 0,
		"failed_attempts name=second namespace=n": 1, "failed_attempts name=failed-twice namespace=n": 2, "failed_attempts name=done namespace=n": 0,
		"failed_attempts name=unchanged namespace=n": 0, "failed_attempts name=done-and-failing namespace=n": 3, "failed_attempts name=never-completed namespace=n": 0,
		"last_success_timestamp_seconds name=done namespace=n": 1000, "last_size_bytes name=done namespace=n": 4096,
		"last_success_timestamp_seconds name=unchanged namespace=n": 2000, "last_size_bytes name=unchanged namespace=n": 4096,
		"last_success_timestamp_seconds name=done-and-failing namespace=n": 20, "last_size_bytes name=done-and-failing namespace=n": 1,
		"received_bytes name=first namespace=n": 0, "received_bytes name=second namespace=n": 1 << 40,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
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
	if err := registry.Register(metrics.Exports{Reader: reader, Progress: func() map[types.NamespacedName]int64 { return nil }}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err == nil || !strings.Contains(err.Error(), failure.Error()) || len(families) > 0 {
		t.Errorf("got %d families and %v, want the failure", len(families), err)
	}
}
