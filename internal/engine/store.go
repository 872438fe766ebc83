package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// Stored is an object whose status a Store writes.
type Stored interface {
	client.Object
	conditions.Object
}

// Store is how a reconciler writes the objects of one kind to the API server.
type Store[O Stored] struct {
	Client client.Client
	// Live reads past the cache, to make sure of an object's version before a write to the cloud.
	Live   client.Reader
	Events events.EventRecorder
	New    func() O
	// Finalizer is on an object from before its first write to the cloud until nothing of it is
	// left there.
	Finalizer string
}

// conflictRetry is how long the cache is given to catch up after a write that lost against another.
const conflictRetry = 500 * time.Millisecond

// Pass makes a pass over the object of a request, unless that is gone or has been let go.
func (s *Store[O]) Pass(ctx context.Context, request ctrl.Request, pass func(context.Context, O) (ctrl.Result, error)) (ctrl.Result, error) {
	obj := s.New()
	if err := s.Client.Get(ctx, request.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !obj.GetDeletionTimestamp().IsZero() && !controllerutil.ContainsFinalizer(obj, s.Finalizer) {
		return ctrl.Result{}, nil
	}
	result, err := pass(s.Guarded(ctx, obj), obj)
	switch {
	case apierrors.IsConflict(err):
		// Somebody changed the object, or the cache was behind. Nothing was lost: intents are
		// stored before they are acted on.
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	case isRefused(err):
		stored := s.New()
		if err := s.Live.Get(ctx, request.NamespacedName, stored); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		return ctrl.Result{}, errors.Join(err, s.sayUnstorable(ctx, stored, err))
	}
	return result, client.IgnoreNotFound(err)
}

// Suspend makes no call to the cloud and leaves the conditions as they are.
func (s *Store[O]) Suspend(ctx context.Context, obj O) error {
	stored := Snapshot(obj)
	conditions.SetSuspended(obj)
	return s.Write(ctx, obj, stored)
}

// AddFinalizer makes sure that the object cannot go before what it does in the cloud is taken back.
func (s *Store[O]) AddFinalizer(ctx context.Context, obj O) error {
	stored := Snapshot(obj)
	if !controllerutil.AddFinalizer(obj, s.Finalizer) {
		return nil
	}
	return s.Client.Patch(ctx, obj, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}))
}

// releaseAttempts is how often the removal of a finalizer is tried against other changes of the
// object.
const releaseAttempts = 5

// Release lets the object go. A note says why something was left in the cloud: that is decided again
// of an object that has changed since.
func (s *Store[O]) Release(ctx context.Context, obj O, eventType, note string) error {
	generation := obj.GetGeneration()
	err := s.removeFinalizer(ctx, obj)
	// Repeated here and not in another pass, which might meet a role of the same name that somebody
	// has made since.
	for range releaseAttempts {
		if !apierrors.IsConflict(err) {
			break
		}
		if err = s.Live.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			break
		}
		if note != "" && obj.GetGeneration() != generation {
			return changed(obj)
		}
		err = s.removeFinalizer(ctx, obj)
	}
	if err == nil && note != "" {
		s.Events.Eventf(obj, nil, eventType, "Released", "Delete", "%s", note)
	}
	return err
}

func (s *Store[O]) removeFinalizer(ctx context.Context, obj O) error {
	stored := Snapshot(obj)
	controllerutil.RemoveFinalizer(obj, s.Finalizer)
	return s.Client.Patch(ctx, obj, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}))
}

// WriteIntent stores what is about to be done, so that a crash at any later point finds it. The
// lock on the object's version makes sure that nothing is done on the strength of an old copy.
func (s *Store[O]) WriteIntent(ctx context.Context, obj O, stored *O) error {
	if equality.Semantic.DeepEqual(obj, *stored) {
		return nil
	}
	if !conditions.IsCurrent(obj) {
		conditions.SetProgressing(obj, "applying the changes")
	}
	if err := s.update(ctx, obj, *stored); err != nil {
		return err
	}
	*stored = Snapshot(obj)
	confirmed(ctx)
	return nil
}

// Write writes the status if it differs from what is stored, also if other parts of the object have
// changed since, such as its spec. One that the API server refuses to store is replaced by the
// stored one with a condition that says so: an object that cannot say anything would go on looking
// as it did before.
func (s *Store[O]) Write(ctx context.Context, obj, stored O) error {
	err := s.update(ctx, obj, stored)
	switch {
	case isRefused(err):
		return s.sayUnstorable(ctx, stored, err)
	case apierrors.IsConflict(err):
		return s.record(ctx, obj, stored, err)
	}
	return err
}

// record writes the status of a pass over an object that was changed during the pass. If its status
// is what was changed, somebody else has made a pass and knows better: then nothing is written, and
// the conflict returned.
func (s *Store[O]) record(ctx context.Context, obj, stored O, conflict error) error {
	live := s.New()
	if err := s.Live.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
		return err
	}
	if live.GetUID() != obj.GetUID() || !equality.Semantic.DeepEqual(statusOf(live), statusOf(stored)) {
		return conflict
	}
	done := Snapshot(obj)
	done.SetResourceVersion(live.GetResourceVersion())
	return s.Client.Status().Update(ctx, done)
}

func statusOf[O client.Object](obj O) any {
	return reflect.ValueOf(obj).Elem().FieldByName("Status").Interface()
}

// sayUnstorable writes into the status that is stored why no other can be.
func (s *Store[O]) sayUnstorable(ctx context.Context, stored O, refusal error) error {
	obj, outcome := Snapshot(stored), conditions.FromError(conditions.Unstorable(refusal))
	if !obj.GetDeletionTimestamp().IsZero() {
		outcome.State = conditions.Reconciling
	}
	conditions.Set(obj, outcome)
	conditions.SetHandled(obj)
	s.Warn(obj, stored, outcome)
	return s.update(ctx, obj, stored)
}

// update is an update and no patch: it carries the version that the object was read at, so it fails
// if anything has changed since; and it costs the API server less.
func (s *Store[O]) update(ctx context.Context, obj, stored O) error {
	if equality.Semantic.DeepEqual(obj, stored) {
		return nil
	}
	if size := sizeOf(obj); size > maxStored {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the object would have %d bytes, more than %d", size, maxStored))
	}
	return s.Client.Status().Update(ctx, obj)
}

// maxStored is how large an object may become, in bytes. From 1.5 MiB on, etcd refuses it; before
// it says so, the API server drops who manages which field, and what then leaves a manifest by
// server-side apply stays in the spec.
const maxStored = 1_400_000

// sizeOf is about the size of an object as it is stored.
func sizeOf(obj client.Object) int {
	text, err := json.Marshal(obj)
	if err != nil {
		return 0 // the API server says what is wrong with it
	}
	return len(text)
}

// isRefused reports whether the API server will never store a status as it is: it breaks the
// schema, or is too large for a request or for etcd, which says so in words only.
func isRefused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) || err != nil && strings.Contains(err.Error(), "request is too large")
}

// Warn makes an event of a failure that was not there before.
func (s *Store[O]) Warn(obj, stored O, outcome conditions.Outcome) {
	if outcome.State != conditions.Ready && conditions.Changed(stored, obj) {
		s.Events.Eventf(obj, nil, corev1.EventTypeWarning, outcome.Reason, "Reconcile", "%s", outcome.Message)
	}
}

// Snapshot returns a copy of an object, to compare with later.
func Snapshot[O client.Object](obj O) O {
	return obj.DeepCopyObject().(O) //nolint:forcetypeassert // a deep copy has the type of its original
}

// restore makes an object what it was when a snapshot was taken.
func restore[O client.Object](obj, before O) {
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(Snapshot(before)).Elem())
}
