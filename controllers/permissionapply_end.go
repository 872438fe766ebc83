package controllers

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// A request ends with its deadline or with its object. What nobody has decided about is withdrawn, where the API can, and otherwise
// followed until it is decided. At the deadline the service ends what it has granted, and the operator only what the service could
// not but grant for ever; with the object, the operator revokes everything.

// isOver tells whether the permissions were to end by now.
func (p *requestPass) isOver() bool {
	end := p.obj.Status.RequestedUntil
	if end == nil || !p.isBegun() {
		// A duration begins with the submission.
		end = p.obj.Spec.Deadline
	}
	return end != nil && !p.Clock.Now().Before(end.Time)
}

// isOwed tells whether an order has granted something that the operator has to end, and has not.
func isOwed(o *v1alpha1.PermissionOrder) bool {
	return slices.ContainsFunc(o.Granted, func(g v1alpha1.GrantedObject) bool { return g.RevokeAtEnd && !g.Revoked })
}

// isInEffect tells whether somebody has a permission, by the operator's clock and unless the operator has been late.
func isInEffect(status *v1alpha1.PermissionApplyStatus, g *v1alpha1.GrantedObject, now time.Time) bool {
	end := status.EndOf(g)
	return !g.Revoked && (end == nil || now.Before(end.Time))
}

// mayBeLeft tells whether there may be something of a request in the cloud that goes with its object.
func mayBeLeft(obj *v1alpha1.PermissionApply, now time.Time) bool {
	for _, s := range obj.Status.Submissions {
		if s.SendingTime != nil || s.Attempts > 1 || len(s.OrderIDs) == 0 && s.Attempts > 0 {
			return true
		}
	}
	return slices.ContainsFunc(obj.Status.Orders, func(o v1alpha1.PermissionOrder) bool {
		return !isDecided(&o) || isOwed(&o) || canBeRepaired(&o) || slices.ContainsFunc(o.Granted, func(g v1alpha1.GrantedObject) bool { return isInEffect(&obj.Status, &g, now) })
	})
}

// expire ends what has come to its end, and comes back for what has not.
func (p *requestPass) expire(ctx context.Context) error {
	p.comeBack()
	var failures []error
	if p.isOver() {
		failures = append(failures, p.withdraw(ctx))
	}
	return worst(append(failures, p.revoke(ctx)))
}

// comeBack makes sure that the next end is not missed.
func (p *requestPass) comeBack() {
	status, now := &p.obj.Status, p.Clock.Now()
	ends := []*metav1.Time{p.obj.Spec.Deadline, status.RequestedUntil}
	for i := range status.Orders {
		o := &status.Orders[i]
		for j := range o.Granted {
			ends = append(ends, status.EndOf(&o.Granted[j]))
		}
	}
	for _, end := range ends {
		if end != nil && now.Before(end.Time) {
			p.within(end.Sub(now))
		}
	}
}

// withdraw takes back the orders that nobody has decided about, where the API can, and reads what became of them.
func (p *requestPass) withdraw(ctx context.Context) error {
	var first error
	for i := range p.obj.Status.Orders {
		o := &p.obj.Status.Orders[i]
		if o.State != v1alpha1.RequestPending || o.APIVersion != dataworks.Version2024 {
			continue
		}
		if err := p.withdrawOrder(ctx, o); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (p *requestPass) withdrawOrder(ctx context.Context, o *v1alpha1.PermissionOrder) error {
	service, err := p.account.DataWorks(o.APIVersion)
	if err != nil {
		return err
	}
	refusal := p.noticed(service.Withdraw(ctx, o.ID))
	if refusal != nil && !cloud.Refused(refusal) || failed(refusal) {
		p.refused()
		return refusal
	}
	// It may have been decided a moment before: what it says of itself counts.
	justRead := p.Clock.Since(p.lastLook(o.ID).at) < patience
	if refusal == nil || !justRead {
		if err := p.read(ctx, o); err != nil {
			return err
		}
	}
	if isDecided(o) {
		if o.State == v1alpha1.RequestWithdrawn && !p.deleting {
			o.State = v1alpha1.RequestExpired // it was the deadline that has taken it back
		}
		return nil
	}
	if o.State == v1alpha1.RequestApproved {
		return nil
	}
	if refusal != nil {
		p.refused()
		return refusal
	}
	p.within(firstLookRetry)
	return conditions.Wait(v1alpha1.ReasonProgressing, "order %s was withdrawn, and that is not to be seen yet", o.ID)
}

// takeBack undoes a request whose object is being deleted. Without an error, nothing of it is left.
func (p *requestPass) takeBack(ctx context.Context) error {
	if err := worst([]error{p.resolveDoubts(ctx), p.withdraw(ctx), p.look(ctx), p.revoke(ctx)}); err != nil {
		return err
	}
	for _, o := range p.obj.Status.Orders {
		if !isDecided(&o) {
			return p.waitForDecision(o)
		}
	}
	return p.findTwins(ctx)
}

// waitForDecision is why an object stays that is being deleted.
func (p *requestPass) waitForDecision(o v1alpha1.PermissionOrder) error {
	if o.State == v1alpha1.RequestApproved {
		return conditions.Wait(v1alpha1.ReasonApproved, "being deleted; order %s was approved, and what it grants is revoked as soon as it is there", o.ID)
	}
	return conditions.Wait(v1alpha1.ReasonAwaitingApproval,
		"being deleted, but order %s cannot be withdrawn with version %s of the API: this object goes when it was decided, and what it grants is revoked then. deletionPolicy: Retain lets it go at once", o.ID, o.APIVersion)
}

// findTwins looks for orders of a call that was taken for lost and made again: should both have become orders, both are taken back.
func (p *requestPass) findTwins(ctx context.Context) error {
	status := &p.obj.Status
	if !slices.ContainsFunc(status.Submissions, func(s v1alpha1.Submission) bool { return s.Attempts > 1 || s.Attempts > 0 && len(s.OrderIDs) == 0 }) {
		return nil
	}
	if status.Identity != "" && status.Identity != p.account.Identity {
		p.refused()
		return conditions.Wait(v1alpha1.ReasonCreateResultUnknown, "a call that submits the request was taken for lost, and %s has another identity now, which cannot see whether it has become an order after all", p.obj.Spec.ConnectionRef)
	}
	found, err := p.search(ctx, true)
	if err != nil {
		return err
	}
	known := len(status.Orders)
	for i := range status.Submissions {
		s := &status.Submissions[i]
		p.track(s, found[s.Token])
	}
	if len(status.Orders) > known {
		p.within(shortestSleep)
		return conditions.Wait(v1alpha1.ReasonProgressing, "another order of this request was found, and is taken back as well")
	}
	return nil
}
