package controllers

import (
	"cmp"
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// One target has one owner. An object that has created, adopted or granted something there has a
// claim, and a claim beats age: nobody takes a target over by naming it. Of two objects with a
// claim, or of two without one, the older owns the target. An object without a claim counts only
// once it has looked at the target, which takes credentials that the service accepts.
//
// Others are looked for before the cloud is read, after that, and once more when the intent to
// write is stored and before anything is written: of two objects that store their first claims at
// one time, at least one sees the other's then.

// checkOwner stalls an object whose target another one owns, as far as this manager sees.
func (t targets) checkOwner(ctx context.Context, obj target) error {
	t.noteManagement(obj)
	if obj.IsObserved() {
		return nil
	}
	rivals, err := t.kind.objects(ctx, t.reader, byTarget(obj), client.DisableReadYourWritesConsistency)
	if err != nil {
		return err
	}
	owner, err := t.ownerAmong(ctx, rivals, obj, claims(obj))
	if err != nil || owner == nil {
		return err
	}
	return t.conflict(obj, owner)
}

// looked decides what follows from a look. Somebody else may have claimed the target meanwhile, or
// be known to other managers only.
func (t targets) looked(ctx context.Context, obj target, exists bool) error {
	if err := t.tooSoon(obj, exists); err != nil || claims(obj) || obj.IsObserved() {
		return err
	}
	owner, err := t.owner(ctx, obj, false)
	if err != nil || owner == nil {
		return err
	}
	return t.conflict(obj, owner)
}

// confirm makes sure, once the intent of an object is stored, that the target is its own.
func (t targets) confirm(ctx context.Context, obj target, first bool) error {
	owner, err := t.owner(ctx, obj, claims(obj) && !first)
	if err != nil || owner == nil {
		return err
	}
	if !first {
		return t.conflict(obj, owner)
	}
	// Nothing was sent yet. If the other one gives way as well, the next pass decides by age.
	withdraw(obj)
	return conditions.Held(plan.Hold{
		Reason: v1alpha1.ReasonProgressing, Wait: true, RetryAfter: adoptionAge,
		Message: obj.GetTarget().String() + " has just been claimed by another object as well; checking again which of them owns it",
	})
}

// withdraw takes back the first claim of an object, of which nothing was carried out.
func withdraw(obj target) {
	status := obj.GetTargetStatus()
	status.Creating, status.CreatingTime, status.Applied = false, nil, nil
	if pkg, ok := obj.(*v1alpha1.MaxComputePackage); ok {
		pkg.Status.Replacements = nil
	}
}

func (t targets) conflict(obj, owner target) error {
	return conditions.Stall(v1alpha1.ReasonTargetConflict, "%s belongs to %s %s/%s", obj.GetTarget(), t.kind.name, owner.GetNamespace(), owner.GetName())
}

// owner finds the object that owns the target which another one names, among all objects of the
// cluster; nil if there is none. Suspended and deleting objects still own what they claim. claimed
// reports whether the object itself has a claim.
func (t targets) owner(ctx context.Context, obj target, claimed bool) (target, error) {
	t.noteManagement(obj)
	rivals, err := t.all.objects(ctx, byTarget(obj))
	if err != nil {
		return nil, err
	}
	return t.ownerAmong(ctx, rivals, obj, claimed)
}

func (t targets) ownerAmong(ctx context.Context, rivals []user, obj target, claimed bool) (target, error) {
	service, err := t.accounts.Service(ctx, obj, obj.GetConnectionRef(), claimedAt(obj))
	if err != nil || service == "" {
		// Without a service there is no target yet: what is wrong with the connection is for others
		// to say.
		return nil, err
	}
	for _, other := range rivals {
		rival, ok := other.(target)
		if !ok || rival.GetUID() == obj.GetUID() || !precedes(rival, obj, claimed) {
			continue
		}
		if contends, err := contends(ctx, t.accounts, rival, service); err != nil || contends {
			return rival, err
		}
	}
	return nil, nil
}

// claimedAt is the endpoint at which an object has a claim, empty if it has none.
func claimedAt(obj target) string {
	if !claims(obj) {
		return ""
	}
	return obj.GetTargetStatus().Endpoint
}

// contends reports whether an object can own its target at a service. It cannot if it only
// observes, if its ClusterConnection does not allow it, or if it has no claim and is suspended, or
// has not looked at the target through the connection that it has now.
func contends(ctx context.Context, accounts *connect.Resolver, obj target, service string) (bool, error) {
	at, ref := obj.GetTargetStatus().Endpoint, obj.GetConnectionRef()
	idle := at == "" || obj.IsSuspended() || !obj.GetDeletionTimestamp().IsZero()
	if obj.IsObserved() || wasObserving(obj) || idle && !claims(obj) {
		return false, nil
	}
	if allowed, err := accounts.Allows(ctx, obj, ref, obj.GetTarget().ProjectName); err != nil || !allowed {
		return false, err
	}
	claimed, err := accounts.Service(ctx, obj, ref, at)
	if err != nil || claimed != service {
		// A claim from before endpoints were recorded can be one at any service, once the
		// connection is gone.
		return claimed == "" && claims(obj), err
	}
	if claims(obj) {
		return true, nil
	}
	leads, err := accounts.Service(ctx, obj, ref, "")
	return leads == service, err
}

// precedes reports whether a rather than b owns what both name; claimed reports whether b has a
// claim.
func precedes(a, b target, claimed bool) bool {
	if claims(a) != claimed {
		return claims(a)
	}
	return cmp.Or(managedSince(a).Compare(managedSince(b)), cmp.Compare(a.GetUID(), b.GetUID())) < 0
}

// managedSince is when an object was created, or when it last turned from observing to managing.
func managedSince(obj target) time.Time {
	if since := obj.GetTargetStatus().ManagedSince; since != nil {
		return since.Time
	}
	return obj.GetCreationTimestamp().Time
}

// noteManagement records that an object only observes, and when it turns to managing. It is as
// young as that moment, so that nobody can prepare for taking over what others will make.
func (t targets) noteManagement(obj target) {
	status := obj.GetTargetStatus()
	switch {
	case obj.IsObserved():
		status.Observing, status.ManagedSince = true, nil
	case wasObserving(obj):
		status.Observing, status.ManagedSince = false, new(metav1.NewTime(t.clock.Now().Truncate(time.Second)))
	}
}

// wasObserving reports whether the last pass over an object found that it only observes. Earlier
// versions recorded just the reason.
func wasObserving(obj target) bool {
	status, ready := obj.GetTargetStatus(), conditions.ReadyCondition(obj)
	return status.Observing || status.ManagedSince == nil && ready != nil && ready.Reason == v1alpha1.ReasonObserved
}

func byTarget(obj target) client.MatchingFields {
	return client.MatchingFields{targetIndex: obj.GetTarget().Key()}
}
