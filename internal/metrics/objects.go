package metrics

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// collectTimeout bounds one collection, which reads the cache.
const collectTimeout = 5 * time.Second

// overdueLooks is how many intervals may pass without a successful look at the cloud.
const overdueLooks = 3

var (
	resourcesDesc = prometheus.NewDesc("maxcompute_operator_resources",
		"How many objects there are.", []string{"kind", "namespace"}, nil)
	conditionsDesc = prometheus.NewDesc("maxcompute_operator_resource_conditions",
		"How many objects that are not suspended have a condition, by its type, status and reason.", []string{"kind", "namespace", "type", "status", "reason"}, nil)
	suspendedDesc = prometheus.NewDesc("maxcompute_operator_resources_suspended",
		"How many objects are suspended.", []string{"kind", "namespace"}, nil)
	notReadyDesc = prometheus.NewDesc("maxcompute_operator_longest_not_ready_seconds",
		"For how long the object has not been Ready that has not been for the longest, whatever its reasons were meanwhile, in seconds; without those that are suspended or Stalled, that wait for an approver, or whose credentials are refused.",
		[]string{"kind", "namespace"}, nil)
	oldestLookDesc = prometheus.NewDesc("maxcompute_operator_oldest_observation_seconds",
		"Age of the oldest of the last successful looks at the cloud, of objects that are neither suspended nor Stalled, in seconds; 0 without such objects.", []string{"kind"}, nil)
	overdueLooksDesc = prometheus.NewDesc("maxcompute_operator_overdue_observations",
		"How many objects that are neither suspended nor Stalled were last seen in the cloud longer than three times their interval ago.", []string{"kind"}, nil)
)

// object is what all kinds have in common.
type object interface {
	client.Object
	GetSyncStatus() *v1alpha1.SyncStatus
	IsSuspended() bool
}

// periodic is an object that is looked at again and again.
type periodic interface {
	object
	// GetInterval is the time between two looks, 0 for the default.
	GetInterval() time.Duration
}

// lists are the kinds of objects. A kind is periodic if its controller tells Passes of its looks.
var lists = []struct {
	kind     string
	make     func() client.ObjectList
	periodic bool
}{
	{"ClusterConnection", func() client.ObjectList { return &v1alpha1.ClusterConnectionList{} }, true},
	{"Connection", func() client.ObjectList { return &v1alpha1.ConnectionList{} }, true},
	{"MaxComputePackage", func() client.ObjectList { return &v1alpha1.MaxComputePackageList{} }, true},
	{"PackageInstallation", func() client.ObjectList { return &v1alpha1.PackageInstallationList{} }, true},
	{"PermissionApply", func() client.ObjectList { return &v1alpha1.PermissionApplyList{} }, false},
	{"ProjectRole", func() client.ObjectList { return &v1alpha1.ProjectRoleList{} }, true},
	{"ResourcePackageExport", func() client.ObjectList { return &v1alpha1.ResourcePackageExportList{} }, false},
}

// Objects counts the objects of all kinds each time it is asked. It implements prometheus.Collector.
type Objects struct {
	// Reader reads the objects from the manager's cache.
	Reader client.Reader
	Clock  clock.PassiveClock
	// DefaultInterval is the time between two looks at an object that names none.
	DefaultInterval time.Duration
	// Passes knows the last looks, and Since is from when on it was told of them.
	Passes *Passes
	Since  time.Time
}

// Describe implements prometheus.Collector.
func (Objects) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{resourcesDesc, conditionsDesc, suspendedDesc, notReadyDesc, oldestLookDesc, overdueLooksDesc} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (o Objects) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	for _, l := range lists {
		objects, err := o.list(ctx, l.make())
		if err != nil {
			out <- prometheus.NewInvalidMetric(resourcesDesc, err)
			return
		}
		o.count(l.kind, objects, out)
		if l.periodic {
			o.looks(l.kind, objects, out)
		}
	}
}

func (o Objects) list(ctx context.Context, list client.ObjectList) ([]object, error) {
	if err := o.Reader.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return nil, err
	}
	objects := make([]object, 0, apimeta.LenList(list))
	err := apimeta.EachListItem(list, func(item runtime.Object) error {
		objects = append(objects, item.(object)) //nolint:forcetypeassert // all kinds are
		return nil
	})
	return objects, err
}

// count tells how many objects of a kind there are, with which conditions, for how long they have not been Ready, and how many are suspended.
func (o Objects) count(kind string, objects []object, out chan<- prometheus.Metric) {
	type condition struct{ namespace, kind, status, reason string }
	resources, suspended, conditions := map[string]int{}, map[string]int{}, map[condition]int{}
	longest, now := map[string]time.Duration{}, o.Clock.Now()
	for _, obj := range objects {
		namespace := obj.GetNamespace()
		resources[namespace]++
		if obj.IsSuspended() {
			// Its conditions are what they were when it was suspended, and nobody needs to be told of that again.
			suspended[namespace]++
			continue
		}
		if since, ok := notReadySince(obj); ok {
			longest[namespace] = max(longest[namespace], now.Sub(since))
		}
		for _, c := range obj.GetSyncStatus().Conditions {
			conditions[condition{namespace, c.Type, string(c.Status), c.Reason}]++
		}
	}
	for namespace, n := range resources {
		gauge(out, resourcesDesc, float64(n), kind, namespace)
		gauge(out, suspendedDesc, float64(suspended[namespace]), kind, namespace)
		gauge(out, notReadyDesc, longest[namespace].Seconds(), kind, namespace)
	}
	for c, n := range conditions {
		gauge(out, conditionsDesc, float64(n), kind, c.namespace, c.kind, c.status, c.reason)
	}
}

// patient are reasons of objects that nobody expects to be Ready soon, or that have an alert of their own.
var patient = map[string]bool{
	v1alpha1.ReasonAwaitingApproval: true, v1alpha1.ReasonExportRunning: true, v1alpha1.ReasonAuthenticationFailed: true,
}

// notReadySince is from when on an object has not been Ready that the operator goes on with. The time is that of the last change of the
// condition's status, so it does not begin anew with another reason.
func notReadySince(obj object) (since time.Time, ok bool) {
	ready := apimeta.FindStatusCondition(obj.GetSyncStatus().Conditions, v1alpha1.ReadyCondition)
	switch {
	case isStalled(obj):
		return time.Time{}, false
	case ready == nil:
		return obj.GetCreationTimestamp().Time, true
	}
	return ready.LastTransitionTime.Time, ready.Status != metav1.ConditionTrue && !patient[ready.Reason]
}

// looks tells how old the last looks at objects of a kind are.
func (o Objects) looks(kind string, objects []object, out chan<- prometheus.Metric) {
	exists := make(map[types.UID]bool, len(objects))
	for _, obj := range objects {
		exists[obj.GetUID()] = true
	}
	now, last := o.Clock.Now(), o.Passes.Kind(kind).lastLooks(exists)
	oldest, overdue := time.Duration(0), 0
	for _, obj := range objects {
		p, ok := obj.(periodic)
		if !ok || obj.IsSuspended() || !obj.GetDeletionTimestamp().IsZero() || isStalled(obj) {
			continue
		}
		at := last[obj.GetUID()]
		if at.IsZero() {
			at = o.unseen(obj)
		}
		age := max(now.Sub(at), 0)
		oldest = max(oldest, age)
		if age > overdueLooks*cmp.Or(p.GetInterval(), o.DefaultInterval) {
			overdue++
		}
	}
	gauge(out, oldestLookDesc, oldest.Seconds(), kind)
	gauge(out, overdueLooksDesc, float64(overdue), kind)
}

// isStalled tells whether an object waits for a person. Some of these are never looked at, such as one whose target another owns; they
// would hide that others are not.
func isStalled(obj object) bool {
	return apimeta.IsStatusConditionTrue(obj.GetSyncStatus().Conditions, v1alpha1.StalledCondition)
}

// unseen is from when on an object should have been looked at that never was: since it exists, or the operator has worked.
func (o Objects) unseen(obj object) time.Time {
	if created := obj.GetCreationTimestamp().Time; created.After(o.Since) {
		return created
	}
	return o.Since
}

// gauge tells one value.
func gauge(out chan<- prometheus.Metric, description *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
}
