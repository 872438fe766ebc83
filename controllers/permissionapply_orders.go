package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// Orders are looked at until they are decided: the older one is, the less often. Nobody waits for a look unless it was asked for, so each
// waits for its turn among all orders of the account; the calls that are left, of a second or of a day, are for the one that has
// waited longest.

const (
	// firstPoll is how long after its submission an order is first looked at, unless the manager's interval is shorter.
	firstPoll = time.Minute
	// lastPoll is the longest time between two looks at an order.
	lastPoll = 4 * time.Hour
	// overduePoll is the longest time between two looks at an order whose deadline has passed and that can still be approved.
	overduePoll = 45 * time.Minute
	// pollShare is how many times as old as the time between two looks an order is.
	pollShare = 10
	// firstLookRetry is how soon a look is repeated that has failed; doubled each time.
	firstLookRetry = 5 * time.Second
	// aMoment is by how much times that mean the same may differ.
	aMoment = time.Second
)

// look is what is remembered of the last look at an order.
type look struct {
	at, due time.Time
	// failures counts looks in a row that have failed, and failure says why the last did.
	failures int
	failure  error
}

func (r *PermissionApplyReconciler) lastLook(id string) look {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.looks[id]
}

func (r *PermissionApplyReconciler) remember(id string, l look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looks == nil {
		r.looks = map[string]look{}
	}
	r.looks[id] = l
}

func (r *PermissionApplyReconciler) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.looks, id)
}

// isDecided tells whether nobody will decide about an order any more, and nothing more come of it.
func isDecided(o *v1alpha1.PermissionOrder) bool {
	return o.State != v1alpha1.RequestPending && o.State != v1alpha1.RequestApproved
}

// isFinal tells whether nothing can change about an order any more. Granting what failed to be granted can be repaired.
func isFinal(o *v1alpha1.PermissionOrder) bool {
	return o.State == v1alpha1.RequestGranted || o.State == v1alpha1.RequestExpired || o.RevokedAt != nil
}

// canBeRepaired tells whether somebody may still grant what an order was approved for.
func canBeRepaired(o *v1alpha1.PermissionOrder) bool {
	return o.State == v1alpha1.RequestGrantFailed && o.RevokedAt == nil
}

// look reads the orders that are due.
func (p *requestPass) look(ctx context.Context) error {
	var first error
	for i := range p.obj.Status.Orders {
		asked, err := p.lookAt(ctx, &p.obj.Status.Orders[i])
		if first == nil {
			first = err
		}
		if asked && failed(err) {
			break
		}
	}
	return first
}

// lookAt reads an order if it is due and if it is its turn. asked tells whether it did; otherwise, the error is that of the last time.
func (p *requestPass) lookAt(ctx context.Context, o *v1alpha1.PermissionOrder) (asked bool, err error) {
	last := p.lastLook(o.ID)
	switch {
	case isFinal(o):
		return false, nil
	case p.requested:
		return true, p.read(ctx, o)
	case isDecided(o) && !canBeRepaired(o) && last.failure == nil:
		return false, nil
	case p.deleting && last.at.Before(p.obj.DeletionTimestamp.Add(aMoment)):
		// Somebody waits for the object to go.
		return true, p.read(ctx, o)
	}
	if last.due.IsZero() {
		last.due = p.firstDue(o)
	}
	wait := last.due.Sub(p.Clock.Now())
	if wait <= 0 {
		wait = p.account.Turn(types.UID(o.ID), last.due)
	}
	if wait > 0 {
		p.within(wait)
		return false, last.failure
	}
	return true, p.read(cloud.Background(ctx), o)
}

// firstDue is when an order is looked at that this process has not looked at yet. One that is new is given some time.
func (p *requestPass) firstDue(o *v1alpha1.PermissionOrder) time.Time {
	if o.SubmittedAt == nil {
		return p.obj.CreationTimestamp.Time
	}
	return o.SubmittedAt.Add(p.FirstPoll)
}

// read reads an order and records what it says.
func (p *requestPass) read(ctx context.Context, o *v1alpha1.PermissionOrder) error {
	service, err := p.account.DataWorks(o.APIVersion)
	if err != nil {
		return err
	}
	order, err := service.Get(ctx, o.ID)
	if err == nil {
		err = p.record(o, order)
	} else if cloud.IsNotFound(err) {
		err = conditions.Wait(v1alpha1.ReasonUnexpectedResponse, "DataWorks says that order %s does not exist, and it was made", o.ID)
	}
	err = p.noticed(err)
	switch {
	case conditions.IsShutdown(ctx, err):
		return err
	case isDecided(o) && !canBeRepaired(o) && err == nil:
		p.forget(o.ID)
		p.account.Unused(types.UID(o.ID))
		return nil
	}
	p.remember(o.ID, p.next(o, err))
	p.within(p.lastLook(o.ID).due.Sub(p.Clock.Now()))
	return err
}

// next says when an order is to be looked at again.
func (p *requestPass) next(o *v1alpha1.PermissionOrder, failure error) look {
	now := p.Clock.Now()
	wait := p.poll(now.Sub(p.firstDue(o)))
	if canBeRepaired(o) && !p.isOver() {
		wait = lastPoll // by somebody who has to be asked first
	}
	l := look{at: now, failure: failure}
	if failure != nil {
		l.failures = p.lastLook(o.ID).failures + 1
		wait = min(wait, firstLookRetry<<min(l.failures-1, 10))
		wait = max(wait, conditions.FromError(failure).RetryAfter)
	}
	l.due = now.Add(conditions.Jitter(wait, 0))
	return l
}

// poll is the time between two looks at an order of some age.
func (p *requestPass) poll(age time.Duration) time.Duration {
	wait := min(max(age/pollShare, p.FirstPoll), lastPoll)
	if p.isOver() {
		// Approved now, it would have to end at once.
		wait = min(wait, overduePoll)
	}
	if longest := p.obj.GetInterval(); longest > 0 {
		wait = min(wait, longest)
	}
	return wait
}
