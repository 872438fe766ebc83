package engine

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

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

// releaseAttempts is how often the removal of a finalizer is tried against other changes of the object.
const releaseAttempts = 5

// release lets the object go.
func (r *Reconciler[O, S]) release(ctx context.Context, obj O, eventType, note string) error {
	err := r.removeFinalizer(ctx, obj)
	// Repeated here and not in another pass, which might meet a role of the same name that somebody has made since.
	for range releaseAttempts {
		if !apierrors.IsConflict(err) {
			break
		}
		if err = r.Live.Get(ctx, client.ObjectKeyFromObject(obj), obj); err == nil {
			err = r.removeFinalizer(ctx, obj)
		}
	}
	if err == nil && note != "" {
		r.Events.Eventf(obj, nil, eventType, "Released", "Delete", "%s", note)
	}
	return err
}

func (r *Reconciler[O, S]) removeFinalizer(ctx context.Context, obj O) error {
	stored := snapshot(obj)
	controllerutil.RemoveFinalizer(obj, r.Finalizer)
	return r.Client.Patch(ctx, obj, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}))
}

// storeIntent stores what is about to be done, so that a crash at any later point finds it. The lock on the object's version makes
// sure that nothing is done on the strength of an old copy.
func (r *Reconciler[O, S]) storeIntent(ctx context.Context, obj O, stored *O) error {
	if equality.Semantic.DeepEqual(obj, *stored) {
		return r.verify(ctx, obj)
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

// verify makes sure that the object has not changed since it was read, where no write of an intent does that.
func (r *Reconciler[O, S]) verify(ctx context.Context, obj O) error {
	live := r.New()
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
		return err
	}
	if live.GetResourceVersion() != obj.GetResourceVersion() {
		return apierrors.NewConflict(schema.GroupResource{Resource: "object"}, obj.GetName(), errors.New("it changed while the cloud was looked at"))
	}
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
