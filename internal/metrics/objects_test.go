package metrics_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics/metricstest"
)

// readerOf reads objects.
func readerOf(t *testing.T, objects ...client.Object) client.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func role(namespace, name string, changes ...func(*v1alpha1.ProjectRole)) *v1alpha1.ProjectRole {
	r := &v1alpha1.ProjectRole{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name)}}
	for _, change := range changes {
		change(r)
	}
	return r
}

func with(conditionType, reason string, status metav1.ConditionStatus) func(*v1alpha1.ProjectRole) {
	return func(r *v1alpha1.ProjectRole) {
		r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{Type: conditionType, Reason: reason, Status: status})
	}
}

func suspended(r *v1alpha1.ProjectRole) { r.Spec.Suspend = true }

func TestConditions(t *testing.T) {
	ready := with(v1alpha1.ReadyCondition, v1alpha1.ReasonSucceeded, metav1.ConditionTrue)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	got := metricstest.Gather(t, metrics.Objects{Clock: clock, DefaultInterval: time.Hour, Passes: metrics.NewPasses(clock), Since: clock.Now(), Reader: readerOf(t,
		role("a", "one", ready), role("a", "two", ready, suspended), role("a", "new", func(r *v1alpha1.ProjectRole) { r.CreationTimestamp = metav1.Unix(900, 0) }),
		role("b", "stalled", with(v1alpha1.ReadyCondition, v1alpha1.ReasonTargetConflict, metav1.ConditionFalse), with(v1alpha1.StalledCondition, v1alpha1.ReasonTargetConflict, metav1.ConditionTrue)),
		&v1alpha1.ClusterConnection{ObjectMeta: metav1.ObjectMeta{Name: "shared", CreationTimestamp: metav1.Unix(900, 0)}},
	)})
	want := map[string]float64{
		"longest_not_ready_seconds kind=ProjectRole namespace=a": 100, "longest_not_ready_seconds kind=ProjectRole namespace=b": 0,
		"longest_not_ready_seconds kind=ClusterConnection namespace=": 100,
		"resources kind=ProjectRole namespace=a":                      3, "resources_suspended kind=ProjectRole namespace=a": 1,
		"resources kind=ProjectRole namespace=b": 1, "resources_suspended kind=ProjectRole namespace=b": 0,
		"resources kind=ClusterConnection namespace=": 1, "resources_suspended kind=ClusterConnection namespace=": 0,
		"resource_conditions kind=ProjectRole namespace=a reason=Succeeded status=True type=Ready":        1,
		"resource_conditions kind=ProjectRole namespace=b reason=TargetConflict status=False type=Ready":  1,
		"resource_conditions kind=ProjectRole namespace=b reason=TargetConflict status=True type=Stalled": 1,
	}
	for _, kind := range []string{"ClusterConnection", "Connection", "MaxComputePackage", "PackageInstallation", "ProjectRole"} {
		want["oldest_observation_seconds kind="+kind], want["overdue_observations kind="+kind] = 0, 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// TestHowLongObjectsAreNotReady: the clock stands at 1,000 s.
func TestHowLongObjectsAreNotReady(t *testing.T) {
	since := func(at int64, status metav1.ConditionStatus, reason string, more ...string) *v1alpha1.ProjectRole {
		r := role("n", "r")
		r.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: status, Reason: reason, LastTransitionTime: metav1.Unix(at, 0)}}
		for _, conditionType := range more {
			r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{Type: conditionType, Status: metav1.ConditionTrue, Reason: reason})
		}
		return r
	}
	stopped := since(100, metav1.ConditionFalse, v1alpha1.ReasonRemoteUnavailable)
	suspended(stopped)
	tests := map[string]struct {
		role *v1alpha1.ProjectRole
		want float64
	}{
		"Ready":                            {since(100, metav1.ConditionTrue, v1alpha1.ReasonSucceeded), 0},
		"the cloud does not answer":        {since(100, metav1.ConditionFalse, v1alpha1.ReasonRemoteUnavailable, v1alpha1.ReconcilingCondition), 900},
		"work is under way for long":       {since(100, metav1.ConditionFalse, v1alpha1.ReasonProgressing, v1alpha1.ReconcilingCondition), 900},
		"never looked at":                  {role("n", "r", func(r *v1alpha1.ProjectRole) { r.CreationTimestamp = metav1.Unix(400, 0) }), 600},
		"Stalled, which is told by others": {since(100, metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists, v1alpha1.StalledCondition), 0},
		"waiting for an approver":          {since(100, metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval, v1alpha1.ReconcilingCondition), 0},
		"suspended":                        {stopped, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
			got := metricstest.Gather(t, metrics.Objects{Clock: clock, DefaultInterval: time.Hour, Passes: metrics.NewPasses(clock), Since: clock.Now(), Reader: readerOf(t, tc.role)})
			if seconds := got["longest_not_ready_seconds kind=ProjectRole namespace=n"]; seconds != tc.want {
				t.Errorf("not Ready for %v s, want %v", seconds, tc.want)
			}
		})
	}
}

// TestObservations: the operator began at 0 s and looked at an object at 100 s; the interval is 100 s.
func TestObservations(t *testing.T) {
	looked := func(r *v1alpha1.ProjectRole) { r.UID = "looked at" }
	created := func(at int64) func(*v1alpha1.ProjectRole) {
		return func(r *v1alpha1.ProjectRole) { r.CreationTimestamp = metav1.Unix(at, 0) }
	}
	slow := func(r *v1alpha1.ProjectRole) { r.Spec.Interval = &metav1.Duration{Duration: time.Hour} }
	going := func(r *v1alpha1.ProjectRole) {
		r.DeletionTimestamp, r.Finalizers = new(metav1.Unix(1, 0)), []string{v1alpha1.Finalizer}
	}
	tests := map[string]struct {
		now             int64
		role            *v1alpha1.ProjectRole
		oldest, overdue float64
	}{
		"an object that was looked at":                           {150, role("n", "r", looked), 50, 0},
		"an object whose last look is three intervals old":       {400, role("n", "r", looked), 300, 0},
		"an object whose last look is older":                     {401, role("n", "r", looked), 301, 1},
		"an object with an interval of its own":                  {401, role("n", "r", looked, slow), 301, 0},
		"an object that the operator has not looked at yet":      {301, role("n", "r"), 301, 1},
		"an object that was created since the operator started":  {301, role("n", "r", created(300)), 1, 0},
		"a suspended object":                                     {1000, role("n", "r", looked, suspended), 0, 0},
		"an object that cannot be looked at until a person acts": {1000, role("n", "r", with(v1alpha1.StalledCondition, v1alpha1.ReasonTargetConflict, metav1.ConditionTrue)), 0, 0},
		"an object that is being deleted":                        {1000, role("n", "r", looked, going), 0, 0},
		"the clock was put back":                                 {50, role("n", "r", looked), 0, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(time.Unix(100, 0))
			passes := metrics.NewPasses(clock)
			passes.Kind("ProjectRole").Looked("looked at")
			clock.SetTime(time.Unix(tc.now, 0))
			got := metricstest.Gather(t, metrics.Objects{Clock: clock, DefaultInterval: 100 * time.Second, Passes: passes, Since: time.Unix(0, 0), Reader: readerOf(t, tc.role)})
			if oldest, overdue := got["oldest_observation_seconds kind=ProjectRole"], got["overdue_observations kind=ProjectRole"]; oldest != tc.oldest || overdue != tc.overdue {
				t.Errorf("the oldest look is %v s old and %v are overdue, want %v and %v", oldest, overdue, tc.oldest, tc.overdue)
			}
		})
	}
}

// TestObjectsThatAreGone are forgotten: an object of the same UID, which there never is, counts as one that was not looked at.
func TestObjectsThatAreGone(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(100, 0))
	passes := metrics.NewPasses(clock)
	passes.Kind("ProjectRole").Looked("n/r")
	objects := func(reader client.Reader) metrics.Objects {
		return metrics.Objects{Clock: clock, DefaultInterval: time.Hour, Passes: passes, Since: time.Unix(0, 0), Reader: reader}
	}
	for _, step := range []struct {
		reader client.Reader
		want   float64
	}{{readerOf(t, role("n", "r")), 0}, {readerOf(t), 0}, {readerOf(t, role("n", "r")), 100}} {
		if got := metricstest.Gather(t, objects(step.reader))["oldest_observation_seconds kind=ProjectRole"]; got != step.want {
			t.Errorf("the oldest look is %v s old, want %v", got, step.want)
		}
	}
}
