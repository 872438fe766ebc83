package engine

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// liveEvery is how much wall time may pass between two live reads of an object while a pass writes
// for it. A process that was frozen has a cache as old as itself, but the clock on the wall went
// on.
const liveEvery = 3 * time.Second

// guard holds the object of a pass against its newest known copy before each write to the cloud, so
// that a pass can be stopped: by a change of the spec, a suspension, a deletion, or another leader.
type guard struct {
	confirm func()
	check   func(context.Context) error
}

type guardKey struct{}

// Guarded returns a context for a pass over an object. Each call under it that changes the cloud is
// refused with a conflict once the object is not the one that the pass began with.
func (s *Store[O]) Guarded(ctx context.Context, obj O) context.Context {
	// Without the monotonic clock, which may stand still while a machine sleeps.
	now := func() time.Time { return time.Now().Round(0) }
	var confirmedAt time.Time
	g := &guard{confirm: func() { confirmedAt = now() }}
	began := Snapshot(obj)
	g.check = func(ctx context.Context) error {
		if since := now().Sub(confirmedAt); since < 0 || since >= liveEvery {
			if err := s.isNewest(ctx, obj); err != nil {
				return err
			}
			g.confirm()
		}
		cached := s.New()
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(obj), cached); err != nil {
			return err
		}
		if cached.GetUID() != began.GetUID() || cached.GetGeneration() > began.GetGeneration() ||
			!cached.GetDeletionTimestamp().Equal(began.GetDeletionTimestamp()) ||
			conditions.Approval(cached) != conditions.Approval(began) {
			return changed(obj)
		}
		return nil
	}
	return cloud.WithPermit(context.WithValue(ctx, guardKey{}, g), g.check)
}

// isNewest reads the object past the cache, and returns a conflict if that has another version than
// the pass knows.
func (s *Store[O]) isNewest(ctx context.Context, obj O) error {
	live := s.New()
	if err := s.Live.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
		return err
	}
	if live.GetUID() != obj.GetUID() || live.GetResourceVersion() != obj.GetResourceVersion() {
		return changed(obj)
	}
	return nil
}

func changed(obj client.Object) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "object"}, obj.GetName(), errors.New("it changed during the pass"))
}

// confirmed notes that the API server has just taken a write of the object at the version that the
// pass knows.
func confirmed(ctx context.Context) {
	if g, ok := ctx.Value(guardKey{}).(*guard); ok {
		g.confirm()
	}
}
