// Package engine is the lifecycle that all kinds share: finalizer, observe, plan, record the intent, apply, observe again, report.
// It knows neither the API nor any cloud.
package engine

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

const (
	// maxRounds bounds how often one pass plans and applies: a second time for what the first could not say in one call.
	maxRounds = 2
	// conflictRetry is how long the cache is given to catch up after a write that lost against another.
	conflictRetry = 500 * time.Millisecond
)

// Object is a custom resource that the engine can drive.
type Object interface {
	client.Object
	conditions.Object
	// IsSuspended tells whether no call to the cloud may be made.
	IsSuspended() bool
	// GetInterval is the wanted time between two looks, 0 for the default.
	GetInterval() time.Duration
	// IsRetained tells whether deleting the object leaves the cloud as it is.
	IsRetained() bool
	// SetLastAppliedTime records when something was last written to the cloud.
	SetLastAppliedTime(metav1.Time)
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
	// Apply is the only method that writes to the cloud, and safe to repeat. It keeps the inventory in status true to what it did.
	Apply(ctx context.Context, obj O, step plan.Step) error
	// Report puts observed facts into status, but no conditions, and returns a line for the Ready condition.
	Report(obj O, have S) string
}

// Reconciler drives the objects of one kind.
type Reconciler[O Object, S any] struct {
	Client          client.Client
	Events          events.EventRecorder
	Clock           clock.PassiveClock
	Kind            Kind[O, S]
	New             func() O
	DefaultInterval time.Duration
	// Finalizer is on an object from before its first write to the cloud until nothing of it is left there.
	Finalizer string
}

// Reconcile makes one pass over one object.
func (r *Reconciler[O, S]) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	obj := r.New()
	if err := r.Client.Get(ctx, request.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	deleting := !obj.GetDeletionTimestamp().IsZero()
	if deleting && !controllerutil.ContainsFinalizer(obj, r.Finalizer) {
		return ctrl.Result{}, nil
	}
	result, err := r.pass(ctx, obj, deleting)
	if apierrors.IsConflict(err) {
		// Somebody changed the object, or the cache was behind. Nothing was lost: intents are stored before they are acted on.
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	return result, client.IgnoreNotFound(err)
}

func (r *Reconciler[O, S]) pass(ctx context.Context, obj O, deleting bool) (ctrl.Result, error) {
	switch {
	case deleting && obj.IsSuspended():
		return ctrl.Result{}, r.release(ctx, obj, corev1.EventTypeWarning, "suspended: the cloud was left as it is")
	case deleting && obj.IsRetained():
		return ctrl.Result{}, r.release(ctx, obj, corev1.EventTypeNormal, "retained: the cloud was left as it is")
	case obj.IsSuspended():
		return ctrl.Result{}, r.suspend(ctx, obj)
	}
	if err := r.addFinalizer(ctx, obj); err != nil {
		return ctrl.Result{}, err
	}
	stored := snapshot(obj)
	done, message, err := r.converge(ctx, obj, &stored)
	if err != nil && (conditions.IsShutdown(ctx, err) || !conditions.Explains(err)) {
		return ctrl.Result{}, err
	}
	r.announce(obj, done)
	if deleting && err == nil {
		return ctrl.Result{}, r.release(ctx, obj, corev1.EventTypeNormal, "")
	}
	return r.conclude(ctx, obj, stored, message, err)
}

// conclude turns the end of a pass into conditions, stores them if they changed, and says when to look again.
func (r *Reconciler[O, S]) conclude(ctx context.Context, obj, stored O, message string, failure error) (ctrl.Result, error) {
	outcome := conditions.Succeeded(message)
	if failure != nil {
		outcome = conditions.FromError(failure)
	}
	if !obj.GetDeletionTimestamp().IsZero() {
		// A deletion is never given up: the object would be stuck without anybody trying.
		outcome.State = conditions.Reconciling
	}
	conditions.Set(obj, outcome)
	conditions.SetHandled(obj)
	r.warn(obj, stored, outcome)
	if err := r.store(ctx, obj, stored); err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case outcome.State != conditions.Reconciling:
		// A stalled object is looked at again, too: what stalled it may go away without anybody telling.
		return ctrl.Result{RequeueAfter: conditions.Jitter(obj.GetInterval(), r.DefaultInterval)}, nil
	case outcome.RetryAfter > 0:
		log.FromContext(ctx).Info("Waiting", "reason", outcome.Reason, "message", outcome.Message, "after", outcome.RetryAfter.String())
		return ctrl.Result{RequeueAfter: outcome.RetryAfter}, nil
	}
	return ctrl.Result{}, failure
}

// converge closes the difference between what is wanted and what is there, and looks again. It returns the steps that were
// carried out, whatever else happened.
func (r *Reconciler[O, S]) converge(ctx context.Context, obj O, stored *O) (done []plan.Step, message string, err error) {
	want, err := r.Kind.Desired(ctx, obj)
	if err != nil {
		return nil, "", err
	}
	var failed []failure
	for round := 0; ; round++ {
		have, err := r.Kind.Observe(ctx, obj)
		if err != nil {
			return done, "", err
		}
		message := r.Kind.Report(obj, have)
		p := r.Kind.Plan(obj, want, have)
		if stop, err := verdict(p, done, failed, round); stop {
			return done, message, err
		}
		r.Kind.Intend(obj, p)
		if err := r.storeIntent(ctx, obj, stored); err != nil {
			return done, "", err
		}
		var applied []plan.Step
		applied, failed, err = r.apply(ctx, obj, p.Steps)
		done = append(done, applied...)
		if err != nil {
			return done, "", err
		}
	}
}

// verdict decides whether a pass ends with the plan that is left: nothing to do, must not be done, was done and is not visible,
// or was refused.
func verdict(p plan.Plan, done []plan.Step, failed []failure, round int) (stop bool, err error) {
	switch {
	case p.Hold != nil:
		return true, conditions.Stall(p.Hold.Reason, "%s", p.Hold.Message)
	case p.Empty():
		return true, nil
	}
	for _, step := range p.Steps {
		if contains(done, step) {
			// Repeating a write that was just accepted would be fighting a slow mirror.
			return true, conditions.NotVisible(step.String())
		}
	}
	if refused := refusedSteps(p, failed); len(refused) == len(p.Steps) {
		return true, conditions.PartiallyApplied(refused)
	}
	if round == maxRounds {
		return true, conditions.NotVisible(p.Steps[0].String())
	}
	return false, nil
}

// failure is a step that the service refused.
type failure struct {
	step plan.Step
	err  error
}

func contains(steps []plan.Step, step plan.Step) bool {
	for _, s := range steps {
		if s.String() == step.String() {
			return true
		}
	}
	return false
}

func refusedSteps(p plan.Plan, failed []failure) []error {
	var refused []error
	for _, step := range p.Steps {
		for _, f := range failed {
			if f.step.String() == step.String() {
				refused = append(refused, f.err)
			}
		}
	}
	return refused
}

// apply carries steps out in order. A refusal that concerns one permission only does not keep the others from being tried;
// anything else ends the pass.
func (r *Reconciler[O, S]) apply(ctx context.Context, obj O, steps []plan.Step) (done []plan.Step, failed []failure, err error) {
	logger := log.FromContext(ctx)
	defer func() {
		if len(done) > 0 {
			obj.SetLastAppliedTime(metav1.NewTime(r.Clock.Now()))
		}
	}()
	for _, step := range steps {
		err := r.Kind.Apply(ctx, obj, step)
		switch {
		case err == nil:
			done = append(done, step)
			logger.V(1).Info("Applied step", "step", step.String())
		case cloud.CodeOf(err) == cloud.AlreadyExists:
			// The next look tells whose it is.
			return done, append(failed, failure{step, err}), nil
		case step.Verb.Independent() && cloud.Refused(err) && !concernsAll(err):
			failed = append(failed, failure{step, err})
			logger.Info("Step was refused", "step", step.String(), "cause", err.Error(), "requestID", cloud.RequestID(err))
		default:
			return done, failed, err
		}
	}
	return done, failed, nil
}

// concernsAll tells whether a refusal would meet every other step as well.
func concernsAll(err error) bool {
	switch cloud.CodeOf(err) {
	case cloud.AuthenticationFailed, cloud.ProjectNotFound, cloud.RemoteUnavailable:
		return true
	default:
		return false
	}
}

// suspend makes no call to the cloud and leaves the conditions as they are.
func (r *Reconciler[O, S]) suspend(ctx context.Context, obj O) error {
	stored := snapshot(obj)
	conditions.SetSuspended(obj)
	return r.store(ctx, obj, stored)
}

func (r *Reconciler[O, S]) addFinalizer(ctx context.Context, obj O) error {
	stored := snapshot(obj)
	if !controllerutil.AddFinalizer(obj, r.Finalizer) {
		return nil
	}
	return r.Client.Patch(ctx, obj, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}))
}

// release lets the object go.
func (r *Reconciler[O, S]) release(ctx context.Context, obj O, eventType, note string) error {
	stored := snapshot(obj)
	controllerutil.RemoveFinalizer(obj, r.Finalizer)
	if err := r.Client.Patch(ctx, obj, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	if note != "" {
		r.Events.Eventf(obj, nil, eventType, "Released", "Delete", "%s", note)
	}
	return nil
}

// storeIntent stores what is about to be done, so that a crash at any later point finds it. The lock on the object's version makes
// sure that nothing is done on the strength of an old copy.
func (r *Reconciler[O, S]) storeIntent(ctx context.Context, obj O, stored *O) error {
	if equality.Semantic.DeepEqual(obj, *stored) {
		return nil
	}
	if !conditions.IsCurrent(obj) {
		conditions.SetProgressing(obj, "applying the changes")
	}
	if err := r.store(ctx, obj, *stored); err != nil {
		return err
	}
	*stored = snapshot(obj)
	return nil
}

// store writes the status if it differs from what is stored. An update carries the version that the object was read at, so it fails
// if anything has changed since; and it costs the API server less than a patch.
func (r *Reconciler[O, S]) store(ctx context.Context, obj, stored O) error {
	if equality.Semantic.DeepEqual(obj, stored) {
		return nil
	}
	return r.Client.Status().Update(ctx, obj)
}

// announce makes one event of everything that a pass did.
func (r *Reconciler[O, S]) announce(obj O, done []plan.Step) {
	if summary := plan.Summary(done); summary != "" {
		r.Events.Eventf(obj, nil, corev1.EventTypeNormal, "Applied", "Apply", "%s", summary)
	}
}

// warn makes an event of a failure that was not there before.
func (r *Reconciler[O, S]) warn(obj, stored O, outcome conditions.Outcome) {
	if outcome.State != conditions.Ready && conditions.Changed(stored, obj) {
		r.Events.Eventf(obj, nil, corev1.EventTypeWarning, outcome.Reason, "Reconcile", "%s", outcome.Message)
	}
}

func snapshot[O Object](obj O) O {
	return obj.DeepCopyObject().(O) //nolint:forcetypeassert // a deep copy has the type of its original
}
