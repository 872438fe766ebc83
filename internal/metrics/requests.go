package metrics

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// horizons are the times before their end at which granted requests are counted: a day, a week, a fortnight.
var horizons = [...]time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour}

// overdueAfter is how long the operator may take to end what has come to its end.
const overdueAfter = time.Minute

var (
	requestsDesc = prometheus.NewDesc("maxcompute_operator_permission_requests",
		"PermissionApplies by state; without a state if they were not submitted yet.", []string{"state"}, nil)
	oldestPendingDesc = prometheus.NewDesc("maxcompute_operator_permission_request_oldest_pending_seconds",
		"Age of the oldest permission request that waits for its approver, in seconds; 0 if there is none.", nil, nil)
	overdueExpiriesDesc = prometheus.NewDesc("maxcompute_operator_permission_request_overdue_expiries",
		"PermissionApplies whose permissions the operator had to revoke at their deadline, more than a minute ago, and has not. Must be 0.", nil, nil)
	expiringDesc = prometheus.NewDesc("maxcompute_operator_permission_requests_expiring",
		"PermissionApplies of which something that was granted ends within the time.", []string{"within"}, nil)
)

// states are those that are always reported, so that a dashboard shows a 0 where there is none.
var states = []v1alpha1.RequestState{
	"", v1alpha1.RequestPending, v1alpha1.RequestApproved, v1alpha1.RequestGranted, v1alpha1.RequestPartiallyGranted,
	v1alpha1.RequestRejected, v1alpha1.RequestGrantFailed, v1alpha1.RequestWithdrawn, v1alpha1.RequestExpired,
}

// Requests counts PermissionApplies each time it is asked. It implements prometheus.Collector.
type Requests struct {
	// Reader reads the objects from the manager's cache.
	Reader client.Reader
	Clock  clock.PassiveClock
}

// Describe implements prometheus.Collector.
func (Requests) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- requestsDesc
	descriptions <- oldestPendingDesc
	descriptions <- overdueExpiriesDesc
	descriptions <- expiringDesc
}

// Collect implements prometheus.Collector.
func (r Requests) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	list := &v1alpha1.PermissionApplyList{}
	if err := r.Reader.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		out <- prometheus.NewInvalidMetric(requestsDesc, err)
		return
	}
	now := r.Clock.Now()
	counts, oldest, overdue, expiring := map[v1alpha1.RequestState]int{}, time.Duration(0), 0, [len(horizons)]int{}
	for i := range list.Items {
		apply := &list.Items[i]
		counts[apply.Status.State]++
		if at := apply.Status.SubmissionTime; at != nil && apply.Status.State == v1alpha1.RequestPending {
			oldest = max(oldest, now.Sub(at.Time))
		}
		if IsOverdue(apply, now) {
			overdue++
		}
		for j, horizon := range horizons {
			if endsWithin(apply, now, horizon) {
				expiring[j]++
			}
		}
	}
	for _, state := range states {
		gauge(out, requestsDesc, float64(counts[state]), string(state))
	}
	gauge(out, oldestPendingDesc, oldest.Seconds())
	gauge(out, overdueExpiriesDesc, float64(overdue))
	for i, horizon := range horizons {
		gauge(out, expiringDesc, float64(expiring[i]), strconv.Itoa(int(horizon/time.Hour))+"h")
	}
}

// endsWithin tells whether something that was granted ends before a time has passed.
func endsWithin(apply *v1alpha1.PermissionApply, now time.Time, horizon time.Duration) bool {
	status := &apply.Status
	if status.State != v1alpha1.RequestGranted && status.State != v1alpha1.RequestPartiallyGranted {
		return false
	}
	for i := range status.Orders {
		o := &status.Orders[i]
		for j := range o.Granted {
			g := &o.Granted[j]
			if end := status.EndOf(g); !g.Revoked && end != nil && end.After(now) && end.Sub(now) <= horizon {
				return true
			}
		}
	}
	return false
}

// IsOverdue tells whether somebody still has what the operator should have revoked at a deadline.
func IsOverdue(apply *v1alpha1.PermissionApply, now time.Time) bool {
	status := &apply.Status
	for i := range status.Orders {
		o := &status.Orders[i]
		for j := range o.Granted {
			g := &o.Granted[j]
			if end := status.EndOf(g); g.RevokeAtEnd && !g.Revoked && end != nil && now.Sub(end.Time) > overdueAfter {
				return true
			}
		}
	}
	return false
}
