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
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=connections;clusterconnections,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=connections/status;clusterconnections/status,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
// +kubebuilder:rbac:groups="",resources=serviceaccounts/token,verbs=create
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// secretPoll is how soon a missing or incomplete Secret, or a missing service account, is looked for again. They are not watched.
const secretPoll = 10 * time.Second

// usersPoll is how often a connection that is being deleted looks for users, beside when one goes: not all may be watched.
const usersPoll = time.Minute

// ConnectionReconciler checks Connections, or ClusterConnections, and says whether they can be used. It owns nothing in the cloud.
type ConnectionReconciler struct {
	Client client.Client
	// Live reads past the cache, which may lack objects that this manager does not work on.
	Live            client.Reader
	Events          events.EventRecorder
	Accounts        *connect.Resolver
	DefaultInterval time.Duration
	// Cluster makes it a reconciler of ClusterConnections.
	Cluster bool
	// Passes counts what is found. It may be nil.
	Passes *metrics.KindPasses
}

// Reconcile checks one connection.
func (r *ConnectionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	connection := connect.New(r.Cluster)
	if err := r.Client.Get(ctx, request.NamespacedName, connection); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !connection.GetDeletionTimestamp().IsZero() {
		return r.release(ctx, connection)
	}
	if err := r.addFinalizer(ctx, connection); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	stored := snapshot(connection)
	if connection.IsSuspended() {
		conditions.SetSuspended(connection)
		return ctrl.Result{}, r.store(ctx, connection, stored)
	}
	failure := r.check(ctx, connection)
	if failure != nil && (conditions.IsShutdown(ctx, failure) || !conditions.Explains(failure)) {
		return ctrl.Result{}, failure
	}
	if failure == nil {
		r.Passes.Looked(connection.GetUID())
	}
	return r.conclude(ctx, connection, stored, failure)
}

// addFinalizer makes sure that the connection outlives the objects that use it: without it they could not take back what they did.
// Nothing uses a connection before it has the finalizer.
func (r *ConnectionReconciler) addFinalizer(ctx context.Context, connection connect.Connection) error {
	stored := snapshot(connection)
	if !controllerutil.AddFinalizer(connection, v1alpha1.Finalizer) {
		return nil
	}
	return r.Client.Patch(ctx, connection, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}))
}

// release lets a connection go that is being deleted, unless objects use it. The end of the last one queues it again.
func (r *ConnectionReconciler) release(ctx context.Context, connection connect.Connection) (ctrl.Result, error) {
	users, err := r.users(ctx, connection)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("list the users of a connection: %w", err)
	}
	stored := snapshot(connection)
	if len(users) > 0 {
		conditions.Set(connection, conditions.FromError(inUse(users)))
		return ctrl.Result{RequeueAfter: conditions.Jitter(usersPoll, 0)}, r.store(ctx, connection, stored)
	}
	if controllerutil.RemoveFinalizer(connection, v1alpha1.Finalizer) {
		err = r.Client.Patch(ctx, connection, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}))
	}
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	r.Accounts.Forget(connection.GetUID())
	r.Passes.Forget(connection.GetUID())
	return ctrl.Result{}, nil
}

// users lists the objects that use a connection. If the cache shows none, the API server is asked: other managers may work on objects that
// this one does not see, and they need the connection as much.
func (r *ConnectionReconciler) users(ctx context.Context, connection connect.Connection) ([]string, error) {
	var names []string
	for _, k := range kinds {
		users, err := usersOf(ctx, r.Client, k, connection)
		if err != nil {
			return nil, err
		}
		named, err := r.namesOf(ctx, k, users, connection)
		if err != nil {
			return nil, err
		}
		names = append(names, named...)
	}
	if len(names) > 0 {
		return names, nil
	}
	for _, k := range kinds {
		users, err := k.objects(ctx, r.Live, client.InNamespace(connection.GetNamespace()))
		if apierrors.IsForbidden(err) {
			// A manager with rights in some namespaces only cannot know of the others.
			continue
		}
		if err != nil {
			return nil, err
		}
		ref := referenceTo(connection).String()
		others := func(user user) bool { return user.GetConnectionRef().String() != ref }
		named, err := r.namesOf(ctx, k, slices.DeleteFunc(users, others), connection)
		if err != nil {
			return nil, err
		}
		names = append(names, named...)
	}
	return names, nil
}

// namesOf names those of the objects of a kind that need a connection.
func (r *ConnectionReconciler) namesOf(ctx context.Context, k kind, users []user, connection connect.Connection) ([]string, error) {
	var names []string
	for _, user := range users {
		needed, err := r.isNeededBy(ctx, user)
		switch {
		case err != nil:
			return nil, err
		case !needed:
		case connection.IsCluster():
			names = append(names, fmt.Sprintf("%s %s/%s", k.name, user.GetNamespace(), user.GetName()))
		default:
			names = append(names, k.name+" "+user.GetName())
		}
	}
	return names, nil
}

// isNeededBy reports whether an object needs the connection that it refers to. One that has nothing in the cloud and that the
// ClusterConnection does not allow, suspended or not, does not, or any namespace could keep a ClusterConnection from being deleted.
func (r *ConnectionReconciler) isNeededBy(ctx context.Context, obj user) (bool, error) {
	if claims(obj) {
		return true, nil
	}
	return r.Accounts.Allows(ctx, obj, obj.GetConnectionRef(), scopeOf(obj))
}

// inUse says which objects a connection waits for. It names at most five.
func inUse(names []string) error {
	const named = 5
	slices.Sort(names)
	list := strings.Join(names[:min(named, len(names))], ", ")
	if len(names) > named {
		list += fmt.Sprintf(" and %d more", len(names)-named)
	}
	return conditions.Wait(v1alpha1.ReasonInUse, "being deleted, and goes when the objects that use it are gone: %s", list)
}

// check resolves the credentials and makes one harmless call with them.
func (r *ConnectionReconciler) check(ctx context.Context, connection connect.Connection) error {
	account, err := r.Accounts.Resolve(ctx, connection)
	if err != nil {
		return err
	}
	if conditions.IsReady(connection) && conditions.IsCurrent(connection) && !conditions.IsRequested(connection) {
		ctx = cloud.Background(ctx)
	}
	if account.Insight != nil {
		return account.Noticed(account.Insight.CheckIdentity(ctx))
	}
	return account.Noticed(account.MaxCompute.CheckIdentity(ctx))
}

func (r *ConnectionReconciler) conclude(ctx context.Context, connection, stored connect.Connection, failure error) (ctrl.Result, error) {
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

func (r *ConnectionReconciler) store(ctx context.Context, connection, stored connect.Connection) error {
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

func snapshot(connection connect.Connection) connect.Connection {
	return connection.DeepCopyObject().(connect.Connection) //nolint:forcetypeassert // a deep copy has the type of its original
}
