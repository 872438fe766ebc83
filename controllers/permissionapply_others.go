package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// A permission is there or not, whichever requests it came of, and the service ends it with the longest of them. So a request that goes
// leaves what another one grants, too; and what it would have granted for longer than that one, it leaves to that one to end.

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

// othersOf lists the other requests in the same project of the same service that may grant something, and go on doing so.
func (p *requestPass) othersOf(ctx context.Context) ([]*v1alpha1.PermissionApply, error) {
	list := &v1alpha1.PermissionApplyList{}
	if err := p.Client.List(ctx, list, client.MatchingFields{projectIndex: strings.ToLower(p.obj.Spec.ProjectName)}); err != nil {
		return nil, fmt.Errorf("list the other requests of the project: %w", err)
	}
	var others []*v1alpha1.PermissionApply
	for i := range list.Items {
		other := &list.Items[i]
		leaving := !other.DeletionTimestamp.IsZero() && !other.IsRetained() && !other.IsSuspended()
		if other.UID != p.obj.UID && !leaving && len(other.Status.Orders) > 0 && isSameService(other.Status.Endpoint, p.obj.Status.Endpoint) {
			others = append(others, other)
		}
	}
	return others, nil
}

// unneeded are those of the granted actions that no other request grants the same user on the same table.
func (p *requestPass) unneeded(ctx context.Context, g *v1alpha1.GrantedObject, user string) ([]string, error) {
	rest := slices.Clone(g.Actions)
	for _, other := range p.taken.others {
		if err := p.refresh(ctx, other, g, user); err != nil {
			return nil, err
		}
		var outlasted bool
		for i := range other.Status.Orders {
			o := &other.Status.Orders[i]
			for j := range o.Granted {
				theirs := &o.Granted[j]
				if !isSameTable(theirs, g) || !isInEffect(&other.Status, theirs, p.Clock.Now()) || !slices.Contains(usersOfGrant(other, theirs), user) {
					continue
				}
				before := len(rest)
				rest = slices.DeleteFunc(rest, func(action string) bool { return slices.Contains(theirs.Actions, action) })
				if len(rest) == before {
					continue
				}
				if !covers(theirs, g) {
					return nil, conditions.Wait(v1alpha1.ReasonPartiallyApplied, "%s on table %s cannot be revoked from account %s without taking away what PermissionApply %s/%s grants on some of its columns: "+
						"delete that one first, or delete this one with deletionPolicy: Retain", strings.Join(theirs.Actions, ", "), g.Name, user, other.Namespace, other.Name)
				}
				if !theirs.RevokeAtEnd && outlasts(g, theirs) {
					theirs.RevokeAtEnd, outlasted = true, true
				}
			}
		}
		if outlasted {
			if err := p.handOver(ctx, other); err != nil {
				return nil, err
			}
		}
	}
	return rest, nil
}

// outlasts tells whether the service would end what is granted by one entry later than what is granted by another.
func outlasts(g, other *v1alpha1.GrantedObject) bool {
	return g.RevokeAtEnd || g.Until == nil || other.Until != nil && other.Until.Before(g.Until)
}

// covers tells whether one entry grants at least as many columns as another.
func covers(wide, narrow *v1alpha1.GrantedObject) bool {
	if len(wide.Columns) == 0 || len(narrow.Columns) == 0 {
		return len(wide.Columns) == 0
	}
	return !slices.ContainsFunc(narrow.Columns, func(c string) bool {
		return !slices.ContainsFunc(wide.Columns, func(w string) bool { return strings.EqualFold(w, c) })
	})
}

// handOver has another request end what this one would have granted for longer.
func (p *requestPass) handOver(ctx context.Context, other *v1alpha1.PermissionApply) error {
	if err := p.Client.Status().Update(ctx, other); err != nil {
		return fmt.Errorf("leave it to PermissionApply %s/%s to end what both grant: %w", other.Namespace, other.Name, err)
	}
	return nil
}

// refresh reads those orders of another request that were not decided at its last look, and ask for the same: they may have been granted since.
// Orders that this request's identity must not read are left to what is known of them.
func (p *requestPass) refresh(ctx context.Context, other *v1alpha1.PermissionApply, g *v1alpha1.GrantedObject, user string) error {
	if !asksFor(other, g, user) {
		return nil
	}
	for i := range other.Status.Orders {
		o := &other.Status.Orders[i]
		if isDecided(o) {
			continue
		}
		service, err := p.account.DataWorks(o.APIVersion)
		if err != nil {
			return err
		}
		p.taken.calls++
		order, err := service.Get(ctx, o.ID)
		switch {
		case err == nil:
			theirs := &requestPass{PermissionApplyReconciler: p.PermissionApplyReconciler, obj: other}
			if err := theirs.record(o, order); err != nil {
				return err
			}
			if o.State == v1alpha1.RequestApproved {
				return conditions.Wait(v1alpha1.ReasonProgressing, "order %s of PermissionApply %s/%s was approved and is for the same; what both grant is revoked when that is there", o.ID, other.Namespace, other.Name)
			}
		case !p.deleting && cloud.Refused(err):
			// What has come to its end ends, also without a call left to find out.
		case !cloud.Refused(err) || failed(err):
			return p.noticed(err)
		}
	}
	return nil
}

// asksFor tells whether a request asks for something on a table for a user.
func asksFor(other *v1alpha1.PermissionApply, g *v1alpha1.GrantedObject, user string) bool {
	return slices.Contains(other.Spec.ApplyUserIDs, user) && slices.ContainsFunc(other.Spec.Objects, func(o v1alpha1.ApplyObject) bool {
		return isSameTable(&v1alpha1.GrantedObject{SchemaName: o.SchemaName, Name: o.Name}, g)
	})
}

// usersOfGrant are those who got what an entry says.
func usersOfGrant(obj *v1alpha1.PermissionApply, g *v1alpha1.GrantedObject) []string {
	if len(g.UserIDs) == 0 {
		return obj.Spec.ApplyUserIDs
	}
	return g.UserIDs
}

func isSameTable(a, b *v1alpha1.GrantedObject) bool {
	return strings.EqualFold(a.Name, b.Name) && strings.EqualFold(apiSchema(a.SchemaName), apiSchema(b.SchemaName))
}
