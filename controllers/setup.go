package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
)

// The backoff of an object whose passes fail.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// connectionIndex finds the objects that use a Connection.
const connectionIndex = "spec.connectionRef.name"

// Options are what all controllers share.
type Options struct {
	// Accounts resolves Connections.
	Accounts *connect.Resolver
	// DefaultInterval is the time between two looks at an object that names none.
	DefaultInterval time.Duration
	// Concurrency is how many objects of a kind are worked on at a time.
	Concurrency int
}

func (o Options) controller() controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: o.Concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	}
}

// SetupConnection adds the controller of Connections to a manager.
func SetupConnection(mgr ctrl.Manager, options Options) error {
	r := &ConnectionReconciler{
		Client: mgr.GetClient(), Events: mgr.GetEventRecorder("connection-controller"), Accounts: options.Accounts, DefaultInterval: options.DefaultInterval,
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Connection{}, builder.WithPredicates(requested())).
		Watches(&v1alpha1.ProjectRole{}, handler.EnqueueRequestsFromMapFunc(connectionOf), builder.WithPredicates(gone())).
		WithOptions(options.controller()).
		Complete(r)
}

// SetupProjectRole adds the controller of ProjectRoles to a manager.
func SetupProjectRole(ctx context.Context, mgr ctrl.Manager, options Options) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ProjectRole{}, connectionIndex, func(o client.Object) []string {
		role, ok := o.(*v1alpha1.ProjectRole)
		if !ok {
			return nil
		}
		return []string{role.Spec.ConnectionRef.Name}
	})
	if err == nil {
		err = mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ProjectRole{}, targetIndex, targetOf)
	}
	if err != nil {
		return err
	}
	r := NewProjectRoleReconciler(mgr.GetClient(), mgr.GetAPIReader(), options)
	r.Events = mgr.GetEventRecorder("projectrole-controller")
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.ProjectRole{}, builder.WithPredicates(requested())).
		Watches(&v1alpha1.ProjectRole{}, handler.EnqueueRequestsFromMapFunc(rivalsOf(mgr.GetClient())), builder.WithPredicates(gone())).
		Watches(&v1alpha1.Connection{}, handler.EnqueueRequestsFromMapFunc(rolesOf(mgr.GetClient())), builder.WithPredicates(usabilityChanged())).
		WithOptions(options.controller()).
		Complete(r)
}

// NewProjectRoleReconciler makes the reconciler of ProjectRoles; its caller gives it a recorder of events.
func NewProjectRoleReconciler(c client.Client, live client.Reader, options Options) *engine.Reconciler[*v1alpha1.ProjectRole, roleState] {
	return &engine.Reconciler[*v1alpha1.ProjectRole, roleState]{
		Client:          c,
		Live:            live,
		Clock:           clock.RealClock{},
		Kind:            &projectRoleKind{accounts: options.Accounts, reader: c, clock: clock.RealClock{}, interval: options.DefaultInterval},
		New:             func() *v1alpha1.ProjectRole { return &v1alpha1.ProjectRole{} },
		DefaultInterval: options.DefaultInterval,
		Finalizer:       v1alpha1.Finalizer,
	}
}

// requested lets through what a user does: a changed spec, a deletion, a new value of the annotation that asks for a pass.
func requested() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return true },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetAnnotations()[v1alpha1.RequestedAtAnnotation] != e.ObjectNew.GetAnnotations()[v1alpha1.RequestedAtAnnotation]
		},
	})
}

// usabilityChanged lets through changes of a Connection that the objects using it are waiting for, or that they must know of.
func usabilityChanged() predicate.Predicate {
	return predicate.Funcs{
		// Existing objects are queued by their own watch when the manager starts.
		CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.Connection)
			after, ok2 := e.ObjectNew.(*v1alpha1.Connection)
			return ok && ok2 && (before.Generation != after.Generation || len(before.Finalizers) == 0 && len(after.Finalizers) > 0 || becameReady(before, after))
		},
	}
}

func becameReady(before, after *v1alpha1.Connection) bool {
	return conditions.IsReady(after) && !conditions.IsReady(before)
}

// gone lets through nothing but the end of objects, which a Connection that is being deleted waits for.
func gone() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
}

func connectionOf(_ context.Context, o client.Object) []reconcile.Request {
	role, ok := o.(*v1alpha1.ProjectRole)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: role.Namespace, Name: role.Spec.ConnectionRef.Name}}}
}

// usersOf lists the roles that use a Connection.
func usersOf(ctx context.Context, reader client.Reader, connection client.Object, opts ...client.ListOption) ([]v1alpha1.ProjectRole, error) {
	var roles v1alpha1.ProjectRoleList
	opts = append(opts, client.InNamespace(connection.GetNamespace()), client.MatchingFields{connectionIndex: connection.GetName()})
	err := reader.List(ctx, &roles, opts...)
	return roles.Items, err
}

func rolesOf(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, connection client.Object) []reconcile.Request {
		// Not worth waiting for writes that are under way: whoever made them is up to date.
		roles, err := usersOf(ctx, reader, connection, client.DisableReadYourWritesConsistency)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not list the roles of a Connection")
			return nil
		}
		requests := make([]reconcile.Request, 0, len(roles))
		for i := range roles {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&roles[i])})
		}
		return requests
	}
}
