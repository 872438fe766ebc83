package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
)

func TestRequests(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(-d))) }
	request := func(name string, status v1alpha1.PermissionApplyStatus) *v1alpha1.PermissionApply {
		return &v1alpha1.PermissionApply{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}, Status: status}
	}
	// granted is a request that the operator has to end, a while ago.
	granted := func(name string, over time.Duration, revoked, byOperator bool) *v1alpha1.PermissionApply {
		return request(name, v1alpha1.PermissionApplyStatus{
			State: v1alpha1.RequestGranted, RequestedUntil: ago(over), RevokeAtDeadline: byOperator,
			Orders: []v1alpha1.PermissionOrder{{ID: name, Granted: []v1alpha1.GrantedObject{{Name: "t", Revoked: revoked, RevokeAtEnd: byOperator}}}},
		})
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		request("new", v1alpha1.PermissionApplyStatus{}),
		request("waits", v1alpha1.PermissionApplyStatus{State: v1alpha1.RequestPending, SubmissionTime: ago(time.Minute)}),
		request("waits-longer", v1alpha1.PermissionApplyStatus{State: v1alpha1.RequestPending, SubmissionTime: ago(time.Hour)}),
		request("rejected", v1alpha1.PermissionApplyStatus{State: v1alpha1.RequestRejected, SubmissionTime: ago(48 * time.Hour)}),
		granted("overdue", 2*time.Minute, false, true),
		granted("just-over", 30*time.Second, false, true),
		granted("revoked", time.Hour, true, true),
		granted("ended-by-the-service", time.Hour, false, false),
		granted("not-over", -time.Hour, false, true),
	).Build()
	got := gathered(t, metrics.Requests{Reader: reader, Clock: clocktesting.NewFakePassiveClock(now)}, "maxcompute_operator_permission_")
	want := map[string]float64{
		"request_oldest_pending_seconds": 3600, "request_overdue_expiries": 1,
		"requests state=": 1, "requests state=Pending": 2, "requests state=Approved": 0, "requests state=Granted": 5, "requests state=PartiallyGranted": 0,
		"requests state=Rejected": 1, "requests state=GrantFailed": 0, "requests state=Withdrawn": 0, "requests state=Expired": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// gathered is what a collector tells, by the names of metrics without their prefix, and their labels.
func gathered(t *testing.T, collector prometheus.Collector, prefix string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(collector); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), prefix)
			for _, label := range m.GetLabel() {
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue()
		}
	}
	return values
}
