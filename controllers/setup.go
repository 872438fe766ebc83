package controllers

import (
	"context"
	"time"

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
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
)

// The backoff of an object whose passes fail.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// Options are what all controllers share.
type Options struct {
	// Accounts resolves Connections.
	Accounts *connect.Resolver
	// DefaultInterval is the time between two looks at an object that names none.
	DefaultInterval time.Duration
	// MaxRevocations is how many permissions and members a plan may take away without a person's approval; 0 for any number.
	MaxRevocations int
	// Concurrency is how many objects of a kind are worked on at a time.
	Concurrency int
}

func (o Options) controller() controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: o.Concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	}
}

// SetupProjectRole adds the controller of ProjectRoles to a manager.
func SetupProjectRole(ctx context.Context, mgr ctrl.Manager, options Options) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ProjectRole{}, connectionIndex, func(o client.Object) []string {
		role, ok := o.(*v1alpha1.ProjectRole)
		if !ok {
			return nil
		}
		return []string{role.Spec.ConnectionRef.String()}
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
		Watches(&v1alpha1.Connection{}, queueUsers(mgr.GetClient()), builder.WithPredicates(usabilityChanged())).
		Watches(&v1alpha1.ClusterConnection{}, queueUsers(mgr.GetClient()), builder.WithPredicates(usabilityChanged())).
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
		MaxRevocations:  options.MaxRevocations,
		Finalizer:       v1alpha1.Finalizer,
	}
}

// requested lets through what a user does: a changed spec, a deletion, a new value of the annotation that asks for a pass or of the one
// that approves a plan.
func requested() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return true },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()
			return before[v1alpha1.RequestedAtAnnotation] != after[v1alpha1.RequestedAtAnnotation] ||
				before[v1alpha1.ApprovePlanAnnotation] != after[v1alpha1.ApprovePlanAnnotation]
		},
	})
}

// gone lets through nothing but the end of objects, which a Connection that is being deleted waits for.
func gone() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
}
