package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// A request ends with its deadline or with its object. What nobody has decided about is withdrawn, where the API can, and otherwise
// followed until it is decided. At the deadline the service ends what it has granted, and the operator only what the service could
// not but grant for ever; with the object, the operator revokes everything.

// maxRevocations is how much is revoked in one pass before what was done is recorded.
const maxRevocations = 100

// projectIndex finds PermissionApplies by their project, in lower case.
const projectIndex = "spec.projectName"

// projectOf is the index of a PermissionApply.
func projectOf(o client.Object) []string {
	apply, ok := o.(*v1alpha1.PermissionApply)
	if !ok {
		return nil
	}
	return []string{strings.ToLower(apply.Spec.ProjectName)}
}

// isOver tells whether the permissions were to end by now.
func (p *requestPass) isOver() bool {
	end := p.obj.Status.RequestedUntil
	if end == nil || !p.isBegun() {
		// A duration begins with the submission.
		end = p.obj.Spec.Deadline
	}
	return end != nil && !p.Clock.Now().Before(end.Time)
}

// isHeld tells whether somebody may still have what an order has granted, unless the service has ended it.
func isHeld(o *v1alpha1.PermissionOrder) bool {
	return slices.ContainsFunc(o.Granted, func(g v1alpha1.GrantedObject) bool { return !g.Revoked })
}

// isInEffect tells whether somebody has a permission, by the operator's clock.
func isInEffect(status *v1alpha1.PermissionApplyStatus, o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject, now time.Time) bool {
	end := status.EndOf(o, g)
	return !g.Revoked && (end == nil || now.Before(end.Time))
}

// expire ends what has come to its end, and comes back for what has not.
func (p *requestPass) expire(ctx context.Context) error {
	p.comeBack()
	var failures []error
	if p.isOver() {
		failures = append(failures, p.withdraw(ctx))
	}
	if p.obj.Status.RevokeAtDeadline {
		failures = append(failures, p.revoke(ctx))
	}
	return worst(failures)
}

// comeBack makes sure that the next end is not missed.
func (p *requestPass) comeBack() {
	status, now := &p.obj.Status, p.Clock.Now()
	ends := []*metav1.Time{p.obj.Spec.Deadline, status.RequestedUntil}
	for i := range status.Orders {
		o := &status.Orders[i]
		for j := range o.Granted {
			ends = append(ends, status.EndOf(o, &o.Granted[j]))
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
		p.backoff = true
		return refusal
	}
	// It may have been decided a moment before: what it says of itself counts.
	if err := p.read(ctx, o); err != nil || isDecided(o) {
		return err
	}
	p.within(firstLookRetry)
	if o.State == v1alpha1.RequestApproved {
		return nil
	}
	if refusal != nil {
		p.backoff = true
		return refusal
	}
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
	if !slices.ContainsFunc(status.Submissions, func(s v1alpha1.Submission) bool { return s.Attempts > 1 }) {
		return nil
	}
	found, err := p.search(ctx)
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

// revoke revokes what was granted and has not ended, or, while the object lives, what the service does not end.
func (p *requestPass) revoke(ctx context.Context) error {
	status, now := &p.obj.Status, p.Clock.Now()
	var failures []error
	for i := range status.Orders {
		o := &status.Orders[i]
		if !isHeld(o) {
			continue
		}
		for j := range o.Granted {
			g := &o.Granted[j]
			if !p.hasToGo(o, g, now) {
				continue
			}
			err := p.revokeObject(ctx, o, g)
			if err != nil && (failed(err) || !conditions.Explains(err)) {
				p.backoff = true
				return err
			}
			failures = append(failures, err)
			if p.calls >= maxRevocations {
				p.within(shortestSleep)
				return conditions.Wait(v1alpha1.ReasonProgressing, "permissions are being revoked")
			}
		}
		if !isHeld(o) {
			o.RevokedAt = moment(now)
			p.Events.Eventf(p.obj, nil, corev1.EventTypeNormal, "Revoked", "Revoke", "revoked what order %s had granted", o.ID)
		}
	}
	if err := errors.Join(failures...); err != nil {
		p.backoff = true
		return conditions.PartiallyApplied([]error{err})
	}
	return nil
}

// hasToGo tells whether the operator has to take a permission away: with the object, what has not ended; before that, what has come to an
// end that is the operator's to enforce.
func (p *requestPass) hasToGo(o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject, now time.Time) bool {
	inEffect := isInEffect(&p.obj.Status, o, g, now)
	switch {
	case g.Revoked:
		return false
	case p.obj.Status.RevokeAtDeadline:
		return p.deleting || !inEffect
	}
	return p.deleting && inEffect
}

// revokeObject takes what was granted on a table away from all who got it, but for what another request still grants them.
func (p *requestPass) revokeObject(ctx context.Context, o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject) error {
	users := g.UserIDs
	if len(users) == 0 {
		users = p.obj.Spec.ApplyUserIDs
	}
	for _, user := range users {
		actions, err := p.unneeded(ctx, o, g, user)
		if err == nil && len(actions) > 0 {
			err = p.revokeFrom(ctx, o, g, user, actions)
		}
		if err != nil {
			return err
		}
	}
	g.Revoked = true
	return nil
}

// revokeFrom takes actions on a table away from a user: by the call that the older API has for some of them, and otherwise by statement.
func (p *requestPass) revokeFrom(ctx context.Context, o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject, user string, actions []string) error {
	var byCall []string
	if o.APIVersion == dataworks.Version2020 {
		byCall = slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return !isForColumns(a) })
	}
	if len(byCall) > 0 {
		p.calls++
		service, err := p.account.DataWorks(o.APIVersion)
		if err != nil {
			return err
		}
		err = p.noticed(service.Revoke(ctx, dataworks.Revocation{
			Project: p.obj.Spec.ProjectName, WorkspaceID: p.obj.Spec.WorkspaceID, Table: g.Name, Actions: byCall, UserID: user,
		}))
		if absent(err) != nil {
			return err
		}
	}
	rest := slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return slices.Contains(byCall, a) })
	if len(rest) == 0 {
		return nil
	}
	p.calls++
	name, err := p.accountName(ctx, user)
	if cloud.IsNotFound(err) {
		return conditions.Wait(v1alpha1.ReasonPartiallyApplied, "%s on table %s cannot be revoked from account %s, for the tenant has no account with this id that a statement could name: "+
			"revoke it by hand and delete this object with deletionPolicy: Retain", strings.Join(rest, ", "), g.Name, user)
	}
	if err != nil {
		return err
	}
	return absent(p.noticed(p.account.MaxCompute.RevokeFromUser(ctx, p.obj.Spec.ProjectName, g.SchemaName, g.Name, rest, name)))
}

// accountName is how statements name an account. It is looked up once in a pass.
func (p *requestPass) accountName(ctx context.Context, user string) (string, error) {
	if name := p.names[user]; name != "" {
		return name, nil
	}
	name, err := p.account.MaxCompute.AccountName(ctx, user)
	if err := p.noticed(err); err != nil {
		return "", err
	}
	if p.names == nil {
		p.names = map[string]string{}
	}
	p.names[user] = name
	return name, nil
}

// unneeded are those of the granted actions that no other request grants the same user on the same table: a permission is there or not,
// whichever requests it came of. What this request would have granted for longer than the other is the other's to end.
func (p *requestPass) unneeded(ctx context.Context, o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject, user string) ([]string, error) {
	if err := p.listOthers(ctx); err != nil {
		return nil, err
	}
	rest := slices.Clone(g.Actions)
	for i := range p.others.Items {
		other := &p.others.Items[i]
		if other.UID == p.obj.UID || other.Status.Endpoint != p.obj.Status.Endpoint {
			continue
		}
		shared, end := sharedWith(other, g, user, p.Clock.Now())
		before := len(rest)
		rest = slices.DeleteFunc(rest, func(action string) bool { return slices.Contains(shared, action) })
		if len(rest) == before {
			continue
		}
		own := p.obj.Status.EndOf(o, g)
		if outlasts := p.obj.Status.RevokeAtDeadline || end != nil && (own == nil || end.Before(own)); outlasts {
			if err := p.handOver(ctx, other); err != nil {
				return nil, err
			}
		}
	}
	return rest, nil
}

func (p *requestPass) listOthers(ctx context.Context) error {
	if p.others != nil {
		return nil
	}
	others := &v1alpha1.PermissionApplyList{}
	if err := p.Client.List(ctx, others, client.MatchingFields{projectIndex: strings.ToLower(p.obj.Spec.ProjectName)}); err != nil {
		return fmt.Errorf("list the other requests of the project: %w", err)
	}
	p.others = others
	return nil
}

// handOver leaves it to another request to end what both have granted: the service would end it only when the longer one was to end.
func (p *requestPass) handOver(ctx context.Context, other *v1alpha1.PermissionApply) error {
	if other.Status.RevokeAtDeadline {
		return nil
	}
	other.Status.RevokeAtDeadline = true
	if err := p.Client.Status().Update(ctx, other); err != nil {
		return fmt.Errorf("leave it to PermissionApply %s/%s to end what both grant: %w", other.Namespace, other.Name, err)
	}
	return nil
}

// sharedWith are the actions on a table that another request grants a user and goes on granting, and when the first of them ends; nil if it
// is not known.
func sharedWith(other *v1alpha1.PermissionApply, table *v1alpha1.GrantedObject, user string, now time.Time) (actions []string, end *metav1.Time) {
	if !other.DeletionTimestamp.IsZero() && !other.IsRetained() && !other.IsSuspended() {
		return nil, nil
	}
	status := &other.Status
	for i := range status.Orders {
		o := &status.Orders[i]
		for j := range o.Granted {
			g := &o.Granted[j]
			users := g.UserIDs
			if len(users) == 0 {
				users = other.Spec.ApplyUserIDs
			}
			if !isSameTable(g, table) || !slices.Contains(users, user) || !isInEffect(status, o, g, now) {
				continue
			}
			actions = append(actions, g.Actions...)
			if ends := status.EndOf(o, g); ends != nil && (end == nil || ends.Before(end)) {
				end = ends
			}
		}
	}
	return actions, end
}

func isSameTable(a, b *v1alpha1.GrantedObject) bool {
	return strings.EqualFold(a.Name, b.Name) && strings.EqualFold(apiSchema(a.SchemaName), apiSchema(b.SchemaName))
}
