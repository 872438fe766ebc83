package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=connections,verbs=get;list;watch
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
		return ctrl.Result{}, nil
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
