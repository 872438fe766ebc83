package controllers

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// roleUsing makes a role that refers to a connection named prod.
func roleUsing(kind v1alpha1.ConnectionKind, namespace, name string) *v1alpha1.ProjectRole {
	return &v1alpha1.ProjectRole{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ProjectRoleSpec{ConnectionRef: v1alpha1.ConnectionReference{Kind: kind, Name: "prod"}},
	}
}

// newReader reads roles of both kinds of connection, in two namespaces, by the index.
func newReader(t *testing.T) client.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).
		WithIndex(&v1alpha1.ProjectRole{}, connectionIndex, func(o client.Object) []string {
			return []string{o.(*v1alpha1.ProjectRole).Spec.ConnectionRef.String()}
		}).
		WithObjects(
			roleUsing("", "team", "local"), roleUsing(v1alpha1.ConnectionKindConnection, "other", "other-local"),
			roleUsing(v1alpha1.ConnectionKindClusterConnection, "team", "cluster"), roleUsing(v1alpha1.ConnectionKindClusterConnection, "other", "other-cluster"),
		).Build()
}

func newConnection(cluster bool) connect.Connection {
	connection := connect.New(cluster)
	connection.SetName("prod")
	if !cluster {
		connection.SetNamespace("team")
	}
	return connection
}

func TestUsersOfAChangedConnectionAreQueuedBehindWhatPeopleDo(t *testing.T) {
	tests := map[string]struct {
		cluster bool
		want    string
	}{
		"a Connection":        {false, "team/mine 0, team/local -50, team/drift -100"},
		"a ClusterConnection": {true, "team/mine 0, other/other-cluster -50, team/cluster -50, team/drift -100"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			queue := priorityqueue.New[reconcile.Request](t.Name())
			t.Cleanup(queue.ShutDown)
			key := func(name string) reconcile.Request {
				return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "team", Name: name}}
			}
			queue.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, key("drift"))
			before, after := newConnection(tc.cluster), newConnection(tc.cluster)
			after.SetGeneration(2)
			after.SetResourceVersion("2")
			queueUsers(newReader(t), projectRoles).Update(t.Context(), event.UpdateEvent{ObjectOld: before, ObjectNew: after}, queue)
			queue.Add(key("mine"))
			var got []string
			for range strings.Count(tc.want, ",") + 1 {
				request, priority, _ := queue.GetWithPriority()
				got = append(got, fmt.Sprintf("%s %d", request, priority))
			}
			if strings.Join(got, ", ") != tc.want {
				t.Errorf("got %s, want %s", strings.Join(got, ", "), tc.want)
			}
		})
	}
}

func TestUsersAreQueuedWithoutPrioritiesToo(t *testing.T) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(queue.ShutDown)
	queueUsers(newReader(t), projectRoles).Create(t.Context(), event.CreateEvent{Object: newConnection(true)}, queue)
	if queue.Len() != 2 {
		t.Errorf("%d were queued", queue.Len())
	}
}

func TestWhichChangesOfAConnectionConcernItsUsers(t *testing.T) {
	ready := func(c connect.Connection) { conditions.Set(c, conditions.Succeeded("fine")) }
	tests := map[string]struct {
		before, after func(connect.Connection)
		want          bool
	}{
		"a new spec":            {nil, func(c connect.Connection) { c.SetGeneration(2) }, true},
		"its finalizer":         {nil, func(c connect.Connection) { c.SetFinalizers([]string{v1alpha1.Finalizer}) }, true},
		"it became ready":       {nil, ready, true},
		"it stays ready":        {ready, ready, false},
		"it is no longer ready": {ready, nil, false},
		"a label":               {nil, func(c connect.Connection) { c.SetLabels(map[string]string{"a": "b"}) }, false},
	}
	for name, tc := range tests {
		for _, cluster := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cluster: %v", name, cluster), func(t *testing.T) {
				before, after := newConnection(cluster), newConnection(cluster)
				for i, change := range []func(connect.Connection){tc.before, tc.after} {
					if change != nil {
						change([]connect.Connection{before, after}[i])
					}
				}
				if got := usabilityChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tc.want {
					t.Errorf("got %v", got)
				}
			})
		}
	}
}

func TestTheEndOfAnObjectQueuesItsConnection(t *testing.T) {
	tests := map[string]struct {
		kind    v1alpha1.ConnectionKind
		cluster bool
		want    string
	}{
		"a Connection":                       {"", false, "[team/prod]"},
		"a Connection, by its kind":          {v1alpha1.ConnectionKindConnection, false, "[team/prod]"},
		"a ClusterConnection":                {v1alpha1.ConnectionKindClusterConnection, true, "[/prod]"},
		"not a Connection of the same name":  {v1alpha1.ConnectionKindClusterConnection, false, "[]"},
		"nor a ClusterConnection of its own": {v1alpha1.ConnectionKindConnection, true, "[]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(connectionOf(tc.cluster)(t.Context(), roleUsing(tc.kind, "team", "reader"))); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
