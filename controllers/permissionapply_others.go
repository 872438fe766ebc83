package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

// othersOf lists the other requests in the same project of the same service that may grant something, and go on doing so: those of
// the whole cluster, whichever manager works on them.
func (p *requestPass) othersOf(ctx context.Context) ([]*v1alpha1.PermissionApply, error) {
	found, err := p.all.objects(ctx, client.MatchingFields{projectIndex: strings.ToLower(p.obj.Spec.ProjectName)})
	if err != nil {
		return nil, fmt.Errorf("list the other requests of the project: %w", err)
	}
	var others []*v1alpha1.PermissionApply
	for _, object := range found {
		other, ok := object.(*v1alpha1.PermissionApply)
		if !ok || other.UID == p.obj.UID || !other.IsSubmitted() || !p.sharesServiceWith(other) {
			continue
		}
		if leaving := !other.DeletionTimestamp.IsZero() && !other.IsRetained() && !other.IsSuspended(); !leaving {
			others = append(others, other.DeepCopy())
		}
	}
	return others, nil
}

// sharesServiceWith reports whether another request was made at the same service. One from before endpoints were recorded was made
// at any.
func (p *requestPass) sharesServiceWith(other *v1alpha1.PermissionApply) bool {
	return p.obj.Status.Endpoint == "" || other.Status.Endpoint == "" || p.account.IsDataWorksAt(other.Status.Endpoint)
}

// unneeded are those of the granted actions that nothing else grants the same user on the same table: no other request, and no other part of
// this one that has not come to its end.
func (p *requestPass) unneeded(ctx context.Context, g *v1alpha1.GrantedObject, user string) ([]string, error) {
	var all []holder
	for _, other := range p.taken.others {
		if err := p.refresh(ctx, other, g, user); err != nil {
			return nil, err
		}
		all = append(all, p.holders(other, g, user)...)
	}
	if !p.deleting {
		all = append(all, p.holders(p.obj, g, user)...)
	}
	var rest []string
	heirs := map[*v1alpha1.PermissionApply]bool{}
	for _, action := range g.Actions {
		with := slices.DeleteFunc(slices.Clone(all), func(h holder) bool { return !slices.Contains(h.granted.Actions, action) })
		switch {
		case len(with) == 0:
			rest = append(rest, action)
			continue
		case !cover(with, g):
			return nil, conditions.Wait(v1alpha1.ReasonPartiallyApplied, "%s on table %s cannot be revoked from account %s without taking away what PermissionApply %s/%s grants on some of its columns: "+
				"delete that one first, or delete this one with deletionPolicy: Retain", action, g.Name, user, with[0].request.Namespace, with[0].request.Name)
		}
		for _, h := range with {
			if !h.granted.RevokeAtEnd && outlasts(g, h.granted) {
				h.granted.RevokeAtEnd = true
				heirs[h.request] = heirs[h.request] || h.request != p.obj
			}
		}
	}
	for heir, isOther := range heirs {
		if !isOther {
			continue // its own status is stored with the rest
		}
		if err := p.handOver(ctx, heir); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// holder is something that grants the same, and goes on doing so.
type holder struct {
	request *v1alpha1.PermissionApply
	granted *v1alpha1.GrantedObject
}

// holders are what a request grants a user on a table, and goes on granting.
func (p *requestPass) holders(request *v1alpha1.PermissionApply, g *v1alpha1.GrantedObject, user string) []holder {
	var found []holder
	now := p.Clock.Now()
	for i := range request.Status.Orders {
		o := &request.Status.Orders[i]
		for j := range o.Granted {
			granted := &o.Granted[j]
			if isSameTable(granted, g) && isInEffect(&request.Status, granted, now) && slices.Contains(usersOfGrant(request, granted), user) {
				found = append(found, holder{request, granted})
			}
		}
	}
	return found
}

// outlasts tells whether the service would end what is granted by one entry later than what is granted by another.
func outlasts(g, other *v1alpha1.GrantedObject) bool {
	return g.RevokeAtEnd || g.Until == nil || other.Until != nil && other.Until.Before(g.Until)
}

// cover tells whether what others grant together has all columns that an entry has.
func cover(others []holder, g *v1alpha1.GrantedObject) bool {
	var columns []string
	for _, h := range others {
		if len(h.granted.Columns) == 0 {
			return true
		}
		columns = append(columns, h.granted.Columns...)
	}
	return len(g.Columns) > 0 && !slices.ContainsFunc(g.Columns, func(c string) bool {
		return !slices.ContainsFunc(columns, func(have string) bool { return strings.EqualFold(have, c) })
	})
}

// handOver has another request end what this one would have granted for longer. One that has gone meanwhile ends nothing: the next pass finds
// it gone.
func (p *requestPass) handOver(ctx context.Context, other *v1alpha1.PermissionApply) error {
	var options []client.SubResourceUpdateOption
	if p.all.live != nil {
		// The cache may never show this write, so nothing must wait for that.
		options = append(options, client.DisableReadYourWritesConsistency)
	}
	err := p.Client.Status().Update(ctx, other, options...)
	switch {
	case apierrors.IsForbidden(err):
		return conditions.Wait(v1alpha1.ReasonPermissionDenied, "PermissionApply %s/%s grants the same for a shorter time, and this manager may not leave it to that one to end what is left. "+
			"Grant its service account update on permissionapplies/status in that namespace: %v", other.Namespace, other.Name, err)
	case apierrors.IsNotFound(err):
		return conditions.Wait(v1alpha1.ReasonProgressing, "PermissionApply %s/%s, which grants the same, has gone", other.Namespace, other.Name)
	case err != nil:
		return fmt.Errorf("leave it to PermissionApply %s/%s to end what both grant: %w", other.Namespace, other.Name, err)
	}
	return nil
}

// refresh reads those orders of another request that were not decided at its last look, and ask for the same: they may have been granted since.
// A deletion waits until that is known; what has come to its end ends, also if it cannot be found out.
func (p *requestPass) refresh(ctx context.Context, other *v1alpha1.PermissionApply, g *v1alpha1.GrantedObject, user string) error {
	if !asksFor(other, g, user) {
		return nil
	}
	if slices.ContainsFunc(other.Status.Submissions, func(s v1alpha1.Submission) bool { return s.SendingTime != nil }) && p.deleting {
		return conditions.Wait(v1alpha1.ReasonProgressing, "PermissionApply %s/%s asks for the same, and it is not known yet what became of it", other.Namespace, other.Name)
	}
	for i := range other.Status.Orders {
		o := &other.Status.Orders[i]
		if isDecided(o) {
			continue
		}
		failure, known := p.taken.refreshed[o.ID]
		if !known {
			failure = p.refreshOrder(ctx, other, o)
			p.taken.refreshed[o.ID] = failure
		}
		if failure != nil && p.deleting {
			return failure
		}
	}
	return nil
}

// refreshOrder reads an order of another request. One that this request's identity must not read is left to what is known of it.
func (p *requestPass) refreshOrder(ctx context.Context, other *v1alpha1.PermissionApply, o *v1alpha1.PermissionOrder) error {
	service, err := p.account.DataWorks(o.APIVersion)
	if err != nil {
		return err
	}
	p.taken.calls++
	order, err := service.Get(ctx, o.ID)
	if err := p.noticed(err); err != nil {
		if cloud.Refused(err) && !failed(err) {
			return nil
		}
		return err
	}
	theirs := &requestPass{PermissionApplyReconciler: p.PermissionApplyReconciler, obj: other}
	if err := theirs.record(o, order); err != nil {
		return err
	}
	if o.State == v1alpha1.RequestApproved {
		return conditions.Wait(v1alpha1.ReasonProgressing, "order %s of PermissionApply %s/%s was approved and is for the same; what both grant is revoked when that is there", o.ID, other.Namespace, other.Name)
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
