package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
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
	// Clock tells the time.
	Clock clock.PassiveClock
	// DefaultInterval is the time between two looks at an object that names none.
	DefaultInterval time.Duration
	// MaxRevocations is how many permissions and members a plan may take away without a person's approval; 0 for any number.
	MaxRevocations int
	// Scoped is set for a manager that works on a part of the objects, and whose cache lacks the others.
	Scoped bool
	// Concurrency is how many objects of a kind are worked on at a time for one tenant; for all
	// together, it is up to four times as many.
	Concurrency int
	// Gates counts the objects that wait for others of their tenant. It may be nil.
	Gates *metrics.Gates
	// Passes counts what controllers find and do. It may be nil.
	Passes *metrics.Passes
	// Exports are what exports need besides.
	Exports ExportOptions
}

// SetupProjectRole adds the controller of ProjectRoles to a manager.
func SetupProjectRole(ctx context.Context, mgr ctrl.Manager, options Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ProjectRole{}, sourceIndex, packagesOf); err != nil {
		return err
	}
	r := NewProjectRoleReconciler(mgr.GetClient(), mgr.GetAPIReader(), options)
	r.Events = mgr.GetEventRecorder("projectrole-controller")
	b, err := common(ctx, mgr, projectRoles, options)
	if err != nil {
		return err
	}
	return b.Watches(&v1alpha1.PackageInstallation{}, handler.EnqueueRequestsFromMapFunc(rolesOn(mgr.GetClient())), builder.WithPredicates(readyOrApplied())).
		Complete(fair(r))
}

// SetupMaxComputePackage adds the controller of MaxComputePackages to a manager.
func SetupMaxComputePackage(ctx context.Context, mgr ctrl.Manager, options Options) error {
	r := NewMaxComputePackageReconciler(mgr.GetClient(), mgr.GetAPIReader(), options)
	r.Events = mgr.GetEventRecorder("maxcomputepackage-controller")
	b, err := common(ctx, mgr, maxComputePackages, options)
	if err != nil {
		return err
	}
	return b.Complete(fair(r))
}

// SetupPackageInstallation adds the controller of PackageInstallations to a manager.
func SetupPackageInstallation(ctx context.Context, mgr ctrl.Manager, options Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.PackageInstallation{}, sourceIndex, sourceOf); err != nil {
		return err
	}
	r := NewPackageInstallationReconciler(mgr.GetClient(), mgr.GetAPIReader(), options)
	r.Events = mgr.GetEventRecorder("packageinstallation-controller")
	b, err := common(ctx, mgr, packageInstallations, options)
	if err != nil {
		return err
	}
	return b.Watches(&v1alpha1.MaxComputePackage{}, handler.EnqueueRequestsFromMapFunc(installationsOf(mgr.GetClient())), builder.WithPredicates(readyOrApplied())).
		Complete(fair(r))
}

// SetupPermissionApply adds the controller of PermissionApplies to a manager, and their metrics.
func SetupPermissionApply(ctx context.Context, mgr ctrl.Manager, options Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.PermissionApply{}, projectIndex, projectOf); err != nil {
		return err
	}
	r := NewPermissionApplyReconciler(mgr.GetClient(), mgr.GetAPIReader(), options)
	r.Events = mgr.GetEventRecorder("permissionapply-controller")
	b, err := users(ctx, mgr, permissionApplies, options)
	if err != nil {
		return err
	}
	return errors.Join(b.Complete(fair(r)), whileLeading(mgr, metrics.Requests{Reader: mgr.GetClient(), Clock: options.Clock}))
}

// SetupResourcePackageExport adds the controller of ResourcePackageExports to a manager, and their metrics.
func SetupResourcePackageExport(ctx context.Context, mgr ctrl.Manager, options Options) error {
	wake := make(chan event.GenericEvent)
	r := NewResourcePackageExportReconciler(mgr.GetClient(), mgr.GetAPIReader(), options, wake)
	r.Events = mgr.GetEventRecorder("resourcepackageexport-controller")
	b, err := users(ctx, mgr, resourcePackageExports, options)
	if err != nil {
		return err
	}
	return errors.Join(
		b.WatchesRawSource(source.Channel(wake, &handler.EnqueueRequestForObject{})).Complete(fair(r)),
		mgr.Add(manager.RunnableFunc(r.StopWith)),
		whileLeading(mgr, metrics.Exports{Reader: mgr.GetClient(), Clock: options.Clock, Progress: r.Progress}),
	)
}

// SetupMetrics adds to a manager's metrics what there is to tell of all kinds.
func SetupMetrics(mgr ctrl.Manager, options Options) error {
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		return serve(ctx, metrics.Objects{
			Reader: mgr.GetClient(), Clock: options.Clock, DefaultInterval: options.DefaultInterval, Passes: options.Passes, Since: options.Clock.Now(),
		})
	}))
}

// whileLeading has the replica that works, and no other, tell of objects, so that each counts once in a sum over replicas.
func whileLeading(mgr ctrl.Manager, collector prometheus.Collector) error {
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return serve(ctx, collector) }))
}

// serve adds a collector to the manager's metrics until ctx is done.
func serve(ctx context.Context, collector prometheus.Collector) error {
	if err := ctrlmetrics.Registry.Register(collector); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	<-ctx.Done()
	ctrlmetrics.Registry.Unregister(collector)
	return nil
}

// common is what the controllers of all kinds that own a target watch.
func common(ctx context.Context, mgr ctrl.Manager, k kind, options Options) (*builder.Builder, error) {
	b, err := users(ctx, mgr, k, options)
	if err != nil {
		return nil, err
	}
	return b.Watches(k.object(), handler.EnqueueRequestsFromMapFunc(rivalsOf(mgr.GetClient(), k)), builder.WithPredicates(gaveWay())), nil
}

// users is what the controllers of all kinds that use connections watch.
func users(ctx context.Context, mgr ctrl.Manager, k kind, options Options) (*builder.Builder, error) {
	for name, values := range indexes {
		if err := mgr.GetFieldIndexer().IndexField(ctx, k.object(), name, values); err != nil {
			return nil, err
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(k.object(), builder.WithPredicates(requested())).
		Watches(&v1alpha1.Connection{}, queueUsers(mgr.GetClient(), k), builder.WithPredicates(usabilityChanged())).
		Watches(&v1alpha1.ClusterConnection{}, queueUsers(mgr.GetClient(), k), builder.WithPredicates(usabilityChanged())).
		WithOptions(options.controller(mgr.GetLogger(), options.placeOf(ctx, mgr.GetClient(), k))), nil
}

// NewProjectRoleReconciler makes the reconciler of ProjectRoles; its caller gives it a recorder of events.
func NewProjectRoleReconciler(c client.Client, live client.Reader, options Options) *engine.Reconciler[*v1alpha1.ProjectRole, roleState] {
	return newReconciler(c, live, options, projectRoles, &projectRoleKind{options.targets(projectRoles, c, live)}, func() *v1alpha1.ProjectRole { return &v1alpha1.ProjectRole{} })
}

// NewMaxComputePackageReconciler makes the reconciler of MaxComputePackages; its caller gives it a recorder of events.
func NewMaxComputePackageReconciler(c client.Client, live client.Reader, options Options) *engine.Reconciler[*v1alpha1.MaxComputePackage, packageState] {
	return newReconciler(c, live, options, maxComputePackages, &packageKind{options.targets(maxComputePackages, c, live)}, func() *v1alpha1.MaxComputePackage { return &v1alpha1.MaxComputePackage{} })
}

// NewPackageInstallationReconciler makes the reconciler of PackageInstallations; its caller gives it a recorder of events.
func NewPackageInstallationReconciler(c client.Client, live client.Reader, options Options) *engine.Reconciler[*v1alpha1.PackageInstallation, installationState] {
	return newReconciler(c, live, options, packageInstallations, &installationKind{options.targets(packageInstallations, c, live)}, func() *v1alpha1.PackageInstallation { return &v1alpha1.PackageInstallation{} })
}

// NewPermissionApplyReconciler makes the reconciler of PermissionApplies; its caller gives it a recorder of events.
func NewPermissionApplyReconciler(c client.Client, live client.Reader, options Options) *PermissionApplyReconciler {
	return &PermissionApplyReconciler{
		Store: engine.Store[*v1alpha1.PermissionApply]{
			Client: c, Live: live, New: func() *v1alpha1.PermissionApply { return &v1alpha1.PermissionApply{} }, Finalizer: v1alpha1.Finalizer,
		},
		Accounts: options.Accounts, Clock: options.Clock, FirstPoll: min(firstPoll, options.DefaultInterval),
		all: newRegistry(permissionApplies, c, live, options.Scoped),
	}
}

// NewResourcePackageExportReconciler makes the reconciler of ResourcePackageExports; its caller gives it a recorder of events, and makes a
// pass over every object that it sends to wake.
func NewResourcePackageExportReconciler(c client.Client, live client.Reader, options Options, wake chan<- event.GenericEvent) *ResourcePackageExportReconciler {
	return &ResourcePackageExportReconciler{
		Store: engine.Store[*v1alpha1.ResourcePackageExport]{
			Client: c, Live: live, New: func() *v1alpha1.ResourcePackageExport { return &v1alpha1.ResourcePackageExport{} }, Finalizer: v1alpha1.Finalizer,
		},
		Accounts: options.Accounts, Clock: options.Clock, Exports: options.Exports, Wake: wake,
	}
}

func (o Options) targets(k kind, reader, live client.Reader) targets {
	return targets{
		kind: k, accounts: o.Accounts, reader: reader, all: newRegistry(k, reader, live, o.Scoped), clock: o.Clock, interval: o.DefaultInterval,
	}
}

func newReconciler[O engine.Object, S any](
	c client.Client, live client.Reader, options Options, k kind, adapter engine.Kind[O, S], newObject func() O,
) *engine.Reconciler[O, S] {
	return &engine.Reconciler[O, S]{
		Store:           engine.Store[O]{Client: c, Live: live, New: newObject, Finalizer: v1alpha1.Finalizer},
		Clock:           options.Clock,
		Kind:            adapter,
		DefaultInterval: options.DefaultInterval,
		MaxRevocations:  options.MaxRevocations,
		Passes:          options.Passes.Kind(k.name),
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

// gaveWay lets through objects that others may wait for, and that own nothing any more: they are gone, only observe, or have withdrawn
// a claim.
func gaveWay() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(target)
			after, ok2 := e.ObjectNew.(target)
			return ok && ok2 && (!before.IsObserved() && after.IsObserved() || claims(before) && !claims(after))
		},
	}
}

// readyOrApplied lets through objects that became Ready, or changed something in the cloud, which others may be waiting for.
func readyOrApplied() predicate.Predicate {
	return predicate.Funcs{
		// Those that wait are queued by their own watch when the manager starts.
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(target)
			after, ok2 := e.ObjectNew.(target)
			return ok && ok2 && conditions.IsReady(after) &&
				(!conditions.IsReady(before) || !before.GetTargetStatus().LastAppliedTime.Equal(after.GetTargetStatus().LastAppliedTime))
		},
	}
}
