// Package engine is the lifecycle that all kinds share: finalizer, observe, plan, record the intent, apply, observe again, report.
// It knows neither the API nor any cloud.
package engine

import (
	"cmp"
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// Object is a custom resource that the engine can drive.
type Object interface {
	client.Object
	conditions.Target
	// IsSuspended tells whether no call to the cloud may be made.
	IsSuspended() bool
	// GetInterval is the wanted time between two looks, 0 for the default.
	GetInterval() time.Duration
	// IsRetained tells whether deleting the object leaves the cloud as it is.
	IsRetained() bool
}

// Kind is everything the engine does not know about one custom resource.
type Kind[O Object, S any] interface {
	// Desired derives what is wanted from spec and references; the zero S while the object is being deleted.
	Desired(ctx context.Context, obj O) (S, error)
	// Observe is the only method that reads the cloud.
	Observe(ctx context.Context, obj O) (S, error)
	// Plan compares. It is pure: no client, no clock.
	Plan(obj O, want, have S) plan.Plan
	// Intend records in status what a plan is about to create or grant; the engine stores it before anything is applied.
	Intend(obj O, p plan.Plan)
	// Confirm makes sure, once the intent is stored and before anything is applied, that it is this object's to do. first reports
	// whether the intent is the first claim that the object makes.
	Confirm(ctx context.Context, obj O, first bool) error
	// Apply is the only method that writes to the cloud, and safe to repeat. It keeps the inventory in status true to what it did. Its
	// error is a *plan.Partial if it did a part of the step.
	Apply(ctx context.Context, obj O, step plan.Step) error
	// Report puts observed facts into status, but no conditions, and returns a line for the Ready condition.
	Report(obj O, want, have S) string
}

// Reconciler drives the objects of one kind.
type Reconciler[O Object, S any] struct {
	Store[O]
	Clock           clock.PassiveClock
	Kind            Kind[O, S]
	DefaultInterval time.Duration
	// MaxRevocations is how many permissions and members a plan may take away without a person's approval; 0 for any number.
	MaxRevocations int
	// Passes counts what is found and done. It may be nil.
	Passes *metrics.KindPasses

	memory memory
}

// Reconcile makes one pass over one object.
func (r *Reconciler[O, S]) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.Pass(ctx, request, r.pass)
}

func (r *Reconciler[O, S]) pass(ctx context.Context, obj O) (ctrl.Result, error) {
	deleting := !obj.GetDeletionTimestamp().IsZero()
	if event, note, ok := untouched(obj, deleting); ok {
		return ctrl.Result{}, r.letGo(ctx, obj, event, note)
	}
	if obj.IsSuspended() {
		return ctrl.Result{}, r.Suspend(ctx, obj)
	}
	if err := r.AddFinalizer(ctx, obj); err != nil {
		return ctrl.Result{}, err
	}
	if !isAskedFor(obj) {
		ctx = cloud.Background(ctx)
	}
	stored := Snapshot(obj)
	done, message, err := r.converge(ctx, obj, &stored)
	r.announce(obj, done)
	switch {
	case err != nil && apierrors.IsConflict(err) && len(done) > 0:
		return ctrl.Result{}, cmp.Or(r.record(ctx, obj, stored, err), err)
	case err != nil && (conditions.IsShutdown(ctx, err) || !conditions.Explains(err)):
		return ctrl.Result{}, err
	}
	if deleting && err == nil {
		return ctrl.Result{}, r.letGo(ctx, obj, corev1.EventTypeNormal, "")
	}
	return r.conclude(ctx, obj, stored, message, err)
}

// isAskedFor reports whether somebody waits for a pass over an object: such a pass goes before those that only look.
func isAskedFor(obj Object) bool {
	return !conditions.IsDecided(obj) || conditions.IsRequested(obj) || conditions.IsApproved(obj) || !obj.GetDeletionTimestamp().IsZero()
}

// letGo lets an object go, and forgets it.
func (r *Reconciler[O, S]) letGo(ctx context.Context, obj O, eventType, note string) error {
	uid := obj.GetUID()
	err := r.Release(ctx, obj, eventType, note)
	if client.IgnoreNotFound(err) == nil {
		r.Passes.Forget(uid)
		r.memory.forget(uid)
	}
	return err
}

// untouched tells of an object that is being deleted whether the cloud is to be left as it is, and what to say then.
func untouched[O Object](obj O, deleting bool) (eventType, note string, ok bool) {
	switch {
	case !deleting:
		return "", "", false
	case obj.IsSuspended():
		return corev1.EventTypeWarning, "suspended: the cloud was left as it is", true
	case obj.IsObserved() && conditions.OwnsAnything(obj):
		return corev1.EventTypeWarning, "managementPolicy is Observe: the cloud was left as it is, with what this object once granted", true
	case obj.IsObserved():
		return corev1.EventTypeNormal, "", true
	case obj.IsRetained():
		return corev1.EventTypeNormal, "retained: the cloud was left as it is", true
	}
	return "", "", false
}

// conclude turns the end of a pass into conditions, stores them if they changed, and says when to look again.
func (r *Reconciler[O, S]) conclude(ctx context.Context, obj, stored O, message string, failure error) (ctrl.Result, error) {
	outcome := conditions.Succeeded(message)
	switch {
	case failure != nil:
		outcome = conditions.FromError(failure)
	case obj.IsObserved():
		outcome = conditions.Observed(message)
	}
	if !obj.GetDeletionTimestamp().IsZero() {
		// A deletion is never given up: the object would be stuck without anybody trying.
		outcome.State = conditions.Reconciling
	}
	conditions.Set(obj, outcome)
	conditions.SetHandled(obj)
	r.Warn(obj, stored, outcome)
	if err := r.Write(ctx, obj, stored); err != nil {
		return ctrl.Result{}, err
	}
	known, interval := r.memory.ended(obj, outcome), conditions.Jitter(obj.GetInterval(), r.DefaultInterval)
	switch {
	case outcome.State != conditions.Reconciling:
		// A stalled object is looked at again, too: what stalled it may go away without anybody telling.
		return ctrl.Result{RequeueAfter: interval, Priority: new(handler.LowPriority)}, nil
	case outcome.RetryAfter > 0:
		log.FromContext(ctx).Info("Waiting", "reason", outcome.Reason, "message", outcome.Message, "after", outcome.RetryAfter.String())
		return ctrl.Result{RequeueAfter: outcome.RetryAfter}, nil
	case known.times >= wellKnown && conditions.IsRefusal(outcome) && known.canWait() && obj.GetDeletionTimestamp().IsZero():
		// The same was refused again and again: that is read no more often than an object that is as it should be, and half as often if
		// each pass also tries a step. Whatever is to be taken away is tried more often than that.
		interval *= time.Duration(1 + min(1, len(known.steps)))
		r.memory.expect(obj, r.Clock.Now().Add(interval-conflictRetry))
		return ctrl.Result{RequeueAfter: interval, Priority: new(handler.LowPriority)}, nil
	}
	return ctrl.Result{}, failure
}

// announce makes one event of everything that a pass did.
func (r *Reconciler[O, S]) announce(obj O, done []plan.Step) {
	if summary := plan.Summary(done); summary != "" {
		r.Events.Eventf(obj, nil, corev1.EventTypeNormal, "Applied", "Apply", "%s", summary)
	}
}
