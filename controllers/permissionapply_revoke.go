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
