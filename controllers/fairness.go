package controllers

import (
	"context"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/gate"
)

// No tenant slows another down: the workers of a kind are shared out by a gate, calls of one account
// are made for its tenants in turn, and an endpoint that does not answer is retried after all else.

// leastPasses is how many passes of a tenant at one account may be under way however slow it is: one
// can write to the API server while another calls the cloud.
const leastPasses = 2

// spareWorkers is how many times as many workers there are as passes may be under way for one tenant,
// so that the gate has some for others even if many tenants have much to do.
const spareWorkers = 4

// controller returns the options of a kind's controller.
func (o Options) controller(logger logr.Logger, place func(reconcile.Request) gate.Place) controller.Options {
	slots := spareWorkers * o.Concurrency
	return controller.Options{
		MaxConcurrentReconciles: slots,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		NewQueue: func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
			admission := gate.New[reconcile.Request](slots)
			o.Gates.Add(name, admission.Waiting)
			return &gate.Queue[reconcile.Request]{Gate: admission, Place: place, PriorityQueue: priorityqueue.New(name, func(q *priorityqueue.Opts[reconcile.Request]) {
				q.Log, q.RateLimiter = logger.WithValues("controller", name), limiter
			})}
		},
	}
}

// placeOf returns where the passes over the objects of a kind belong: to their namespace, at the
// connection that they refer to.
func (o Options) placeOf(ctx context.Context, reader client.Reader, k kind) func(reconcile.Request) gate.Place {
	return func(request reconcile.Request) gate.Place {
		at := gate.Place{Tenant: request.Namespace, Account: request.Namespace + "/", Most: func() int { return o.Concurrency }}
		obj := k.object()
		if reader.Get(ctx, request.NamespacedName, obj, asCached...) != nil {
			return at // It is gone, so nothing will be waited for.
		}
		connection, key := connect.New(obj.GetConnectionRef().IsCluster()), connectionKey(obj)
		at.Account = key.String()
		if reader.Get(ctx, key, connection, asCached...) == nil {
			at.Most = o.most(connection.GetUID(), connect.CallsPerSecond(connection))
		}
		return at
	}
}

// most returns how many passes of a tenant a connection keeps busy: as many as it allows calls in a
// second, and a single one until that has found out whether its service answers.
func (o Options) most(connection types.UID, callsPerSecond int) func() int {
	return func() int {
		if !o.Accounts.IsTried(connection) {
			return 1
		}
		return min(o.Concurrency, max(leastPasses, callsPerSecond))
	}
}

// connectionKey returns the key of the connection that an object refers to.
func connectionKey(obj user) client.ObjectKey {
	ref := obj.GetConnectionRef()
	if ref.IsCluster() {
		return client.ObjectKey{Name: ref.Name}
	}
	return client.ObjectKey{Namespace: obj.GetNamespace(), Name: ref.Name}
}

// asCached reads what is in the cache at once and as it is: it is not changed, and only a hint.
var asCached = []client.GetOption{client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency}

// placeOfConnection is where the check of a connection belongs. Each ClusterConnection is a tenant of
// its own.
func (o Options) placeOfConnection(request reconcile.Request) gate.Place {
	at := gate.Place{Tenant: request.Namespace, Account: request.String(), Most: func() int { return o.Concurrency }}
	if at.Tenant == "" {
		at.Tenant = at.Account
	}
	return at
}

// fair makes the passes of a reconciler those of their tenant, and retries those that got no answer
// behind all that have not failed like this: each may hold a worker until it times out.
func fair(r reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		result, err := r.Reconcile(cloud.ForTenant(ctx, request.Namespace), request)
		if cloud.IsUnanswered(err) {
			result.Priority = new(handler.LowPriority)
		}
		return result, err
	})
}
