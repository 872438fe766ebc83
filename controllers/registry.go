package controllers

import (
	"context"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// registry finds the objects of a kind in the whole cluster, whichever of them this manager works
// on. What others own and grant is asked of it before something is written or revoked.
type registry struct {
	kind kind
	// cache holds all objects, unless live is set: then the cache has a part of them only, and they
	// are listed past it.
	cache, live client.Reader

	// running lets one list go on at a time. next is the one that begins after it, for all who have
	// asked meanwhile: it shows them whatever was stored before they asked.
	running sync.Mutex
	mu      sync.Mutex
	next    *listing
}

// listing is a list that is answered to several callers.
type listing struct {
	done  chan struct{}
	found []user
	err   error
}

func newRegistry(k kind, cache, live client.Reader, scoped bool) *registry {
	r := &registry{kind: k, cache: cache}
	if scoped {
		r.live = live
	}
	return r
}

// objects finds those that an index has under a value. They are shared and must not be changed.
func (r *registry) objects(ctx context.Context, by client.MatchingFields) ([]user, error) {
	if r.live == nil {
		return r.kind.objects(ctx, r.cache, by)
	}
	all, err := r.list(ctx)
	if apierrors.IsForbidden(err) {
		return nil, conditions.Wait(v1alpha1.ReasonPermissionDenied, "this manager watches a part of the cluster and may not ask what other objects own or grant, "+
			"so it neither writes nor revokes. Grant its service account the verb list on this resource in all namespaces, with a ClusterRole: %v", err)
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(u user) bool { return !isUnder(u, by) }), nil
}

// isUnder reports whether an index has an object under a value.
func isUnder(obj user, by client.MatchingFields) bool {
	for index, value := range by {
		if !slices.Contains(indexOf(index)(obj), value) {
			return false
		}
	}
	return true
}

// list lists all objects as they are after the call.
func (r *registry) list(ctx context.Context) ([]user, error) {
	r.mu.Lock()
	shared := r.next
	if shared != nil {
		r.mu.Unlock()
		select {
		case <-shared.done:
			return shared.found, shared.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	shared = &listing{done: make(chan struct{})}
	r.next = shared
	r.mu.Unlock()

	r.running.Lock()
	defer r.running.Unlock()
	r.mu.Lock()
	r.next = nil
	r.mu.Unlock()
	shared.found, shared.err = r.kind.objects(ctx, r.live)
	close(shared.done)
	return shared.found, shared.err
}
