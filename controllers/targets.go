package controllers

import (
	"cmp"
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

const (
	// lateWrite is how long after it was sent a write may still take effect, or become visible.
	lateWrite = time.Minute
	// freshList is how old a list may be for what it lacks to count as absent, or for what it holds to count as somebody else's.
	freshList = 10 * time.Second
	// adoptionAge is how old an object must be to adopt something. Of two that are created in one moment, one may make what both name
	// before the other knows of it; by then it does, and finds out whose it is.
	adoptionAge = 2 * time.Second
)

// targets is what the kinds share: how an object comes to the cloud, what there is its own, and whether it is there at all.
type targets struct {
	kind     kind
	accounts *connect.Resolver
	// reader finds the other objects that name the same target, of those that this manager works on; all finds them in the whole cluster.
	reader client.Reader
	all    *registry
	clock  clock.PassiveClock
	// interval is the age up to which a list serves for what has long been on it.
	interval time.Duration
}

// reach resolves the account of an object that is about to be looked at. It is nil for a deletion that has nothing to take back: that
// needs no cloud, and so no connection.
func (t targets) reach(ctx context.Context, obj target) (*connect.Account, error) {
	if !obj.GetDeletionTimestamp().IsZero() {
		if !conditions.OwnsAnything(obj) {
			return nil, nil
		}
		// The target may have come to belong to another object that has a claim: then it is not this one's to take away.
		if owner, err := t.owner(ctx, obj, true); err != nil || owner != nil {
			return nil, err
		}
	}
	return t.account(ctx, obj)
}

// account resolves the connection, and makes sure that it still means the service at which the object has done something.
func (t targets) account(ctx context.Context, obj target) (*connect.Account, error) {
	account, err := t.accounts.Account(ctx, obj, obj.GetConnectionRef(), obj.GetTarget().ProjectName)
	if err != nil {
		return nil, err
	}
	if at := obj.GetTargetStatus().Endpoint; claims(obj) && at != "" && !account.IsAt(at) {
		return nil, conditions.Wait(v1alpha1.ReasonConnectionNotReady,
			"%s now means %s, but what this object did is at %s: point it there again, or delete this object with deletionPolicy: Retain",
			obj.GetConnectionRef(), account.Endpoint, at)
	}
	return account, nil
}

// claims reports whether the object has to do with what is in the cloud already.
func claims(obj user) bool {
	switch o := obj.(type) {
	case target:
		return conditions.Claims(o)
	case *v1alpha1.PermissionApply:
		return o.IsSubmitted()
	}
	return false
}

// present tells whether the target is there. find looks for it in a list of at most some age, which all targets of a project share; get
// asks for the target itself. What the object claims is only absent if a list asked for just now lacks it and the service says the same
// of the target itself: lists can lag.
func (t targets) present(obj target, find func(maxAge time.Duration) (bool, error), get func() error) (bool, error) {
	status := obj.GetTargetStatus()
	claimed := status.Created || status.Creating || status.Adopted
	exists, err := find(t.listAge(obj))
	if err == nil && !exists && claimed {
		exists, err = find(0)
	}
	if err != nil && claimed && !meetsAll(err) && get() == nil {
		// Without the list, the target itself says that it is there.
		return true, nil
	}
	if err != nil || exists || !claimed {
		return exists, err
	}
	err = get()
	return err == nil, absent(err)
}

// confirmAbsent decides between a list that showed the target and a call that says it does not exist: by a list asked for now.
func confirmAbsent(find func(maxAge time.Duration) (bool, error), notFound error) error {
	exists, err := find(0)
	if err == nil && exists {
		return notFound
	}
	return err
}

// listAge is how old a list may be: as old as the interval for what has long been there, so that all targets of a project share one list
// per interval; fresh for one that is new; asked for now for one that is about to be dropped, or that somebody asks to look at.
func (t targets) listAge(obj target) time.Duration {
	status := obj.GetTargetStatus()
	switch {
	case conditions.IsRequested(obj), !obj.GetDeletionTimestamp().IsZero():
		return 0
	case (status.Created || status.Adopted) && !status.Creating:
		return cmp.Or(obj.GetInterval(), t.interval)
	}
	return freshList
}

// tooSoon keeps a pass from deciding what a moment later it would know better.
func (t targets) tooSoon(obj target, exists bool) error {
	deleting, status := !obj.GetDeletionTimestamp().IsZero(), obj.GetTargetStatus()
	switch {
	case deleting && !exists && status.Created && !t.settled(obj) && !status.LastAppliedTime.After(obj.GetDeletionTimestamp().Time):
		return conditions.Wait(v1alpha1.ReasonProgressing, "%s is not to be seen; it is looked for until %s after the last write, in case that is not visible yet", obj.GetTarget(), lateWrite)
	case deleting && status.Creating && !exists && t.clock.Since(obj.GetDeletionTimestamp().Time) < lateWrite:
		return conditions.Wait(v1alpha1.ReasonProgressing, "a create was sent whose outcome is not known; the %s is looked for until %s after the deletion, in case it comes late", obj.GetTarget().Kind, lateWrite)
	case !deleting && exists && !claims(obj) && !obj.IsObserved() && t.clock.Since(obj.GetCreationTimestamp().Time) < adoptionAge:
		return conditions.Wait(v1alpha1.ReasonProgressing, "%s exists; whether it is to be adopted is decided when this object is %s old, in case another one of the same moment made it", obj.GetTarget(), adoptionAge)
	}
	return nil
}

// notVisible keeps the deletion of an object whose inventory is not all to be seen from taking it for gone, until the last write must be
// visible.
func (t targets) notVisible(obj target) error {
	if obj.GetDeletionTimestamp().IsZero() || obj.GetTargetStatus().Created || t.settled(obj) {
		return nil
	}
	return conditions.Wait(v1alpha1.ReasonProgressing, "not all that this object put into %s is to be seen; it is looked for until %s after the last write, in case that is not visible yet", obj.GetTarget(), lateWrite)
}

// intendCreate records that a create is about to be sent. The record of an attempt that was made not long ago serves for the next: a create
// that fails again and again is not to be written about each time.
func (t targets) intendCreate(obj target) {
	status := obj.GetTargetStatus()
	recent := status.Creating && status.CreatingTime != nil && t.clock.Since(status.CreatingTime.Time) < lateWrite/2
	status.Creating = true
	if !recent {
		status.CreatingTime = new(metav1.NewTime(t.clock.Now().Truncate(time.Second)))
	}
}

// unfinished tells whether a create that was sent before may still take effect, or the object made the target once: then one that is there
// already need not be somebody else's. The time of the create may be that of one shortly before it.
func (t targets) unfinished(obj target) bool {
	status := obj.GetTargetStatus()
	return status.Created || status.Creating && (status.CreatingTime == nil || t.clock.Since(status.CreatingTime.Time) < 2*lateWrite)
}

// settled tells whether the service has had time to show what was written last.
func (t targets) settled(obj target) bool {
	last := obj.GetTargetStatus().LastAppliedTime
	return last == nil || t.clock.Since(last.Time) > lateWrite
}

// rivalsOf queues the objects of a kind that may have waited for one that is gone, or has given way.
func rivalsOf(reader client.Reader, k kind) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		gone, ok := o.(target)
		if !ok {
			return nil
		}
		return requestsFor(ctx, reader, k, client.MatchingFields{targetIndex: gone.GetTarget().Key()})
	}
}

// requestsFor queues the objects of a kind that an index finds. Those that cannot be listed are looked at when their interval is over.
func requestsFor(ctx context.Context, reader client.Reader, k kind, opts ...client.ListOption) []reconcile.Request {
	found, err := k.objects(ctx, reader, append(opts, client.DisableReadYourWritesConsistency)...)
	if err != nil {
		return nil
	}
	requests := make([]reconcile.Request, 0, len(found))
	for _, obj := range found {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(obj)})
	}
	return requests
}

// absent reads "not found" as absence, and any other error as itself.
func absent(err error) error {
	if cloud.IsNotFound(err) {
		return nil
	}
	return err
}
