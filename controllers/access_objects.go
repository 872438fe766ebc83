package controllers

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// declarations finds the objects that say what roles of a project should be, by the roles' names in lower case: of each the one that owns
// it or, if none does, one that observes it.
func (p *Previewer) declarations(ctx context.Context, e Estate) (map[string]*access.Declaration, error) {
	objects, err := projectRoles.objects(ctx, p.reader)
	if err != nil {
		return nil, err
	}
	service, err := p.serviceOf(ctx, e)
	if err != nil {
		return nil, err
	}
	chosen, ranks := map[string]*v1alpha1.ProjectRole{}, map[string]int{}
	for _, object := range objects {
		role, ok := object.(*v1alpha1.ProjectRole)
		if !ok || !strings.EqualFold(role.Spec.ProjectName, e.Project) {
			continue
		}
		at, err := p.accounts.Service(ctx, role, role.GetConnectionRef(), claimedAt(role))
		if err != nil {
			return nil, err
		}
		rank, err := p.rankOf(ctx, role, service)
		if err != nil {
			return nil, err
		}
		key := strings.ToLower(role.Spec.RoleName)
		old := chosen[key]
		if at == service && (old == nil || rank > ranks[key] || rank == ranks[key] && precedes(role, old, claims(old))) {
			chosen[key], ranks[key] = role, rank
		}
	}
	declared := make(map[string]*access.Declaration, len(chosen))
	for key, role := range chosen {
		declared[key] = declarationOf(role)
	}
	return declared, nil
}

// rankOf says how far an object has come towards being the owner of what it names: it is, or it may become that, or it cannot.
func (p *Previewer) rankOf(ctx context.Context, role *v1alpha1.ProjectRole, service string) (int, error) {
	owns, err := contends(ctx, p.accounts, role, service)
	if err != nil || owns {
		return 2, err
	}
	allowed, err := p.accounts.Allows(ctx, role, role.GetConnectionRef(), role.Spec.ProjectName)
	if err != nil || !allowed || role.IsObserved() {
		return 0, err
	}
	return 1, nil
}

// serviceOf is the service that an estate is at.
func (p *Previewer) serviceOf(ctx context.Context, e Estate) (string, error) {
	return p.accounts.Service(ctx, e.object(&v1alpha1.ProjectRole{}), e.Connection, "")
}

func declarationOf(role *v1alpha1.ProjectRole) *access.Declaration {
	d := &access.Declaration{Object: role.Namespace + "/" + role.Name, ManagementPolicy: string(role.Spec.ManagementPolicy)}
	want, err := stateOf(role)
	if err != nil {
		// The object is stalled: it manages nothing.
		return d
	}
	if want.hasACL {
		d.ACL = &want.acl
	}
	if want.hasPolicy {
		d.Policy = &want.policy
	}
	if want.hasMembers {
		d.Members = &want.members
	}
	return d
}

// readRequests finds the requests of the cluster that granted something in the project, as their objects say, and what their accounts
// are called.
func (p *Previewer) readRequests(ctx context.Context, r *Reading) error {
	objects, err := permissionApplies.objects(ctx, p.reader)
	if err != nil {
		return err
	}
	service, err := p.serviceOf(ctx, r.estate)
	if err != nil {
		return err
	}
	var names map[string]string
	for _, object := range objects {
		apply, ok := object.(*v1alpha1.PermissionApply)
		if !ok || !strings.EqualFold(apply.Spec.ProjectName, r.Name) || !mayHaveGranted(&apply.Status) {
			continue
		}
		at, err := p.accounts.Service(ctx, apply, apply.GetConnectionRef(), "")
		if err != nil {
			return err
		}
		if at != "" && at != service {
			continue
		}
		if names == nil {
			if names, err = r.account.MaxCompute.AccountNames(ctx); err != nil {
				r.Problems = append(r.Problems, r.account.Noticed(err))
				names = map[string]string{}
			}
		}
		r.noteUnnamed(apply.Spec.ApplyUserIDs, names)
		r.Requests = append(r.Requests, requestOf(apply, names, p.clock.Now()))
	}
	return nil
}

// noteUnnamed tells of accounts that are known by their ids alone, each once. Roles list them by name.
func (r *Reading) noteUnnamed(ids []string, names map[string]string) {
	for _, id := range ids {
		note := "what account " + id + " is called, which a permission request was granted to: what its roles give or deny it is not counted for it"
		if names[id] == "" && !slices.Contains(r.Notes, note) {
			r.Notes = append(r.Notes, note)
		}
	}
}

// mayHaveGranted tells of requests that have granted something, whatever becomes of the rest, and of those that may have done so.
func mayHaveGranted(status *v1alpha1.PermissionApplyStatus) bool {
	switch status.State {
	case v1alpha1.RequestGranted, v1alpha1.RequestPartiallyGranted, v1alpha1.RequestGrantFailed:
		return true
	case v1alpha1.RequestPending, v1alpha1.RequestApproved:
		return slices.ContainsFunc(status.Orders, func(o v1alpha1.PermissionOrder) bool {
			return o.State == v1alpha1.RequestGranted || o.State == v1alpha1.RequestGrantFailed
		})
	case v1alpha1.RequestRejected, v1alpha1.RequestWithdrawn, v1alpha1.RequestExpired:
	}
	return false
}

func requestOf(apply *v1alpha1.PermissionApply, names map[string]string, now time.Time) *access.Request {
	var accounts []string
	for _, id := range apply.Spec.ApplyUserIDs {
		account := id
		if name := names[id]; name != "" {
			account = name
		}
		accounts = append(accounts, account)
	}
	var granted []access.Granted
	for _, object := range apply.Spec.Objects {
		g := access.Granted{Entry: acl.Grant{Kind: acl.Table, Schema: object.SchemaName, Name: object.Name}}
		for _, action := range object.Actions {
			g.Entry.Actions = append(g.Entry.Actions, string(action))
		}
		for _, column := range object.Columns {
			g.Columns = append(g.Columns, column.Name)
		}
		granted = append(granted, g)
	}
	until := ""
	if end := apply.Status.GrantedUntil; end != nil {
		until = end.UTC().Format(time.RFC3339)
	}
	return access.NewRequest(apply.Namespace+"/"+apply.Name, accounts, granted, until, doubtOf(apply, now))
}

// doubtOf is why it cannot be told what a request grants; empty if that can be told.
func doubtOf(apply *v1alpha1.PermissionApply, now time.Time) string {
	end, ready := apply.Status.GrantedUntil, conditions.ReadyCondition(apply)
	switch {
	case apply.Status.State != v1alpha1.RequestGranted:
		return "only some of its orders were granted"
	case end != nil && !now.Before(end.Time):
		// Some of it may go on, or all of it, if the operator was to revoke it and could not.
		return "its end has passed"
	case ready != nil && ready.Reason == v1alpha1.ReasonGrantedNarrowed:
		return "less was granted than was asked for"
	}
	return ""
}
