package controllers

import (
	"context"
	"errors"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// userPriority is the priority of objects that are queued because their connection changed: after what people do to single objects,
// which has 0, and before what is only looked at for drift.
const userPriority = handler.LowPriority / 2

// SetupConnection adds the controllers of Connections and ClusterConnections to a manager.
func SetupConnection(mgr ctrl.Manager, options Options) error {
	var failures []error
	for _, cluster := range []bool{false, true} {
		r := &ConnectionReconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("connection-controller"), Accounts: options.Accounts,
			DefaultInterval: options.DefaultInterval, Cluster: cluster, Passes: options.Passes.Kind(connectionKind(cluster)),
		}
		b := ctrl.NewControllerManagedBy(mgr).For(connect.New(cluster), builder.WithPredicates(requested())).WithOptions(options.controller(mgr.GetLogger(), options.placeOfConnection))
		for _, k := range kinds {
			b = b.Watches(k.object(), handler.EnqueueRequestsFromMapFunc(connectionOf(cluster)), builder.WithPredicates(gone()))
		}
		failures = append(failures, b.Complete(fair(r)))
	}
	return errors.Join(failures...)
}

func connectionKind(cluster bool) string {
	if cluster {
		return "ClusterConnection"
	}
	return "Connection"
}

// usabilityChanged lets through changes of a connection that the objects using it are waiting for, or that they must know of.
func usabilityChanged() predicate.Predicate {
	return predicate.Funcs{
		// Existing objects are queued by their own watch when the manager starts.
		CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(connect.Connection)
			after, ok2 := e.ObjectNew.(connect.Connection)
			return ok && ok2 && (before.GetGeneration() != after.GetGeneration() || len(before.GetFinalizers()) == 0 && len(after.GetFinalizers()) > 0 || becameReady(before, after))
		},
	}
}

func becameReady(before, after connect.Connection) bool {
	return conditions.IsReady(after) && !conditions.IsReady(before)
}

// connectionOf queues the connection of one kind that an object used.
func connectionOf(cluster bool) handler.MapFunc {
	return func(_ context.Context, o client.Object) []reconcile.Request {
		user, ok := o.(user)
		if !ok || user.GetConnectionRef().IsCluster() != cluster {
			return nil
		}
		return []reconcile.Request{{NamespacedName: connectionKey(user)}}
	}
}

// usersOf lists the objects of a kind that use a connection: those of its namespace or, with a ClusterConnection, of all.
func usersOf(ctx context.Context, reader client.Reader, k kind, connection connect.Connection, opts ...client.ListOption) ([]user, error) {
	opts = append(opts, client.InNamespace(connection.GetNamespace()), client.MatchingFields{connectionIndex: referenceTo(connection).String()})
	return k.objects(ctx, reader, opts...)
}

// referenceTo is how objects refer to a connection.
func referenceTo(connection connect.Connection) v1alpha1.ConnectionReference {
	ref := v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindConnection, Name: connection.GetName()}
	if connection.IsCluster() {
		ref.Kind = v1alpha1.ConnectionKindClusterConnection
	}
	return ref
}

// queueUsers queues the objects of a kind that use a connection, behind those that somebody waits for: there may be thousands.
func queueUsers(reader client.Reader, k kind) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	queueAll := func(ctx context.Context, o client.Object, q queue) {
		connection, ok := o.(connect.Connection)
		if !ok {
			return
		}
		// Not worth waiting for writes that are under way: whoever made them is up to date.
		users, err := usersOf(ctx, reader, k, connection, client.DisableReadYourWritesConsistency)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not list the users of a connection")
			return
		}
		for _, user := range users {
			request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(user)}
			if priority, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
				priority.AddWithOpts(priorityqueue.AddOpts{Priority: new(userPriority)}, request)
			} else {
				q.Add(request)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { queueAll(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { queueAll(ctx, e.ObjectNew, q) },
	}
}
