package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=connections,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=connections/status,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

// secretPoll is how soon a missing or incomplete Secret is looked for again. Secrets are not watched.
const secretPoll = 10 * time.Second

// ConnectionReconciler checks Connections and says whether they can be used. It owns nothing in the cloud.
type ConnectionReconciler struct {
	Client          client.Client
	Events          events.EventRecorder
	Accounts        *connect.Resolver
	DefaultInterval time.Duration
}

// Reconcile checks one Connection.
func (r *ConnectionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	connection := &v1alpha1.Connection{}
	if err := r.Client.Get(ctx, request.NamespacedName, connection); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !connection.DeletionTimestamp.IsZero() {
		return r.release(ctx, connection)
	}
	if err := r.addFinalizer(ctx, connection); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	stored := connection.DeepCopy()
	if connection.IsSuspended() {
		conditions.SetSuspended(connection)
		return ctrl.Result{}, r.store(ctx, connection, stored)
	}
	failure := r.check(ctx, connection)
	if failure != nil && (conditions.IsShutdown(ctx, failure) || !conditions.Explains(failure)) {
		return ctrl.Result{}, failure
	}
	return r.conclude(ctx, connection, stored, failure)
}

// addFinalizer makes sure that the Connection outlives the objects that use it: without it they could not take back what they did.
// Nothing uses a Connection before it has the finalizer.
func (r *ConnectionReconciler) addFinalizer(ctx context.Context, connection *v1alpha1.Connection) error {
	stored := connection.DeepCopy()
	if !controllerutil.AddFinalizer(connection, v1alpha1.Finalizer) {
		return nil
	}
	return r.Client.Patch(ctx, connection, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}))
}

// release lets a Connection go that is being deleted, unless objects use it. The end of the last one queues it again.
func (r *ConnectionReconciler) release(ctx context.Context, connection *v1alpha1.Connection) (ctrl.Result, error) {
	users, err := usersOf(ctx, r.Client, connection)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("list the users of a Connection: %w", err)
	}
	stored := connection.DeepCopy()
	if len(users) > 0 {
		conditions.Set(connection, conditions.FromError(inUse(users)))
		return ctrl.Result{}, r.store(ctx, connection, stored)
	}
	if !controllerutil.RemoveFinalizer(connection, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(r.Client.Patch(ctx, connection, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})))
}

// inUse says which objects a Connection waits for. It names at most five.
func inUse(users []v1alpha1.ProjectRole) error {
	const named = 5
	var names []string
	for i := range users {
		names = append(names, users[i].Name)
	}
	slices.Sort(names)
	list := strings.Join(names[:min(named, len(names))], ", ")
	if len(names) > named {
		list += fmt.Sprintf(" and %d more", len(names)-named)
	}
	return conditions.Wait(v1alpha1.ReasonInUse, "being deleted, and goes when the ProjectRoles that use it are gone: %s", list)
}

// check resolves the credentials and makes one harmless call with them.
func (r *ConnectionReconciler) check(ctx context.Context, connection *v1alpha1.Connection) error {
	account, err := r.Accounts.Resolve(ctx, connection)
	if err != nil {
		return err
	}
	return account.Noticed(account.MaxCompute.CheckIdentity(ctx))
}

func (r *ConnectionReconciler) conclude(ctx context.Context, connection, stored *v1alpha1.Connection, failure error) (ctrl.Result, error) {
	outcome := conditions.Succeeded("the endpoint answers and accepts the credentials")
	if failure != nil {
		outcome = conditions.FromError(failure)
	}
	conditions.Set(connection, outcome)
	conditions.SetHandled(connection)
	if outcome.State != conditions.Ready && conditions.Changed(stored, connection) {
		r.Events.Eventf(connection, nil, corev1.EventTypeWarning, outcome.Reason, "Check", "%s", outcome.Message)
	}
	if err := r.store(ctx, connection, stored); err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case outcome.Reason == v1alpha1.ReasonSecretNotFound:
		return ctrl.Result{RequeueAfter: conditions.Jitter(secretPoll, 0)}, nil
	case outcome.State != conditions.Reconciling:
		return ctrl.Result{RequeueAfter: conditions.Jitter(connection.GetInterval(), r.DefaultInterval)}, nil
	case outcome.RetryAfter > 0:
		return ctrl.Result{RequeueAfter: outcome.RetryAfter}, nil
	}
	return ctrl.Result{}, failure
}

func (r *ConnectionReconciler) store(ctx context.Context, connection, stored *v1alpha1.Connection) error {
	if equality.Semantic.DeepEqual(connection, stored) {
		return nil
	}
	err := r.Client.Status().Update(ctx, connection)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// The change that came in between has queued the object again.
		return nil
	}
	if err != nil {
		return fmt.Errorf("store the status: %w", err)
	}
	return nil
}
