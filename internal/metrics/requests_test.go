package metrics_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics/metricstest"
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
	reader := readerOf(t,
		request("new", v1alpha1.PermissionApplyStatus{}),
		request("waits", v1alpha1.PermissionApplyStatus{State: v1alpha1.RequestPending, SubmissionTime: ago(time.Minute)}),
		request("waits-longer", v1alpha1.PermissionApplyStatus{State: v1alpha1.RequestPending, SubmissionTime: ago(time.Hour)}),
		request("rejected", v1alpha1.PermissionApplyStatus{State: v1alpha1.RequestRejected, SubmissionTime: ago(48 * time.Hour)}),
		granted("overdue", 2*time.Minute, false, true),
		granted("just-over", 30*time.Second, false, true),
		granted("revoked", time.Hour, true, true),
		granted("ended-by-the-service", time.Hour, false, false),
		granted("not-over", -time.Hour, false, true),
		granted("ends-in-a-week", -7*24*time.Hour, false, true),
		granted("ends-in-a-week-and-is-revoked", -7*24*time.Hour, true, true),
		granted("ends-next-month", -30*24*time.Hour, false, true),
	)
	got := metricstest.Gather(t, metrics.Requests{Reader: reader, Clock: clocktesting.NewFakePassiveClock(now)})
	want := map[string]float64{
		"permission_request_oldest_pending_seconds": 3600, "permission_request_overdue_expiries": 1,
		"permission_requests state=": 1, "permission_requests state=Pending": 2, "permission_requests state=Approved": 0,
		"permission_requests state=Granted": 8, "permission_requests state=PartiallyGranted": 0, "permission_requests state=Rejected": 1,
		"permission_requests state=GrantFailed": 0, "permission_requests state=Withdrawn": 0, "permission_requests state=Expired": 0,
		"permission_requests_expiring within=24h": 1, "permission_requests_expiring within=168h": 2, "permission_requests_expiring within=336h": 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
