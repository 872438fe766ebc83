package controllers

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// freshList is how old a list of roles may be for a role that it lacks to count as absent, or for one that it holds to count as
// somebody else's.
const freshList = 10 * time.Second

// adoptionAge is how old an object must be to adopt a role. Of two that are created in one moment, one may make the role before the other
// knows of it; by then it does, and finds out whose the role is.
const adoptionAge = 2 * time.Second

// Observe implements engine.Kind. A deletion that has nothing to take back needs no cloud, and so no Connection.
func (k *projectRoleKind) Observe(ctx context.Context, role *v1alpha1.ProjectRole) (roleState, error) {
	deleting := !role.DeletionTimestamp.IsZero()
	if deleting && !conditions.OwnsAnything(role) {
		return roleState{}, nil
	}
	if deleting {
		// The role may have come to belong to an older object since this one made it: then it is not this one's to take away.
		if owner, err := k.owner(ctx, role); err != nil || owner != nil {
			return roleState{}, err
		}
	}
	account, err := k.account(ctx, role)
	if err != nil {
		return roleState{}, err
	}
	have, err := k.look(ctx, account.MaxCompute, role)
	have.endpoint = account.Endpoint
	if err == nil {
		err = k.tooSoon(role, have)
	}
	return have, account.Noticed(err)
}

// tooSoon keeps a pass from deciding what a moment later it would know better.
func (k *projectRoleKind) tooSoon(role *v1alpha1.ProjectRole, have roleState) error {
	deleting := !role.DeletionTimestamp.IsZero()
	switch {
	case deleting && role.Status.Creating && !have.exists && k.clock.Since(role.DeletionTimestamp.Time) < lateWrite:
		return conditions.Wait(v1alpha1.ReasonProgressing, "a create was sent whose outcome is not known; the role is looked for until %s after the deletion, in case it comes late", lateWrite)
	case !deleting && have.exists && !claims(role) && !role.IsObserved() && k.clock.Since(role.CreationTimestamp.Time) < adoptionAge:
		return conditions.Wait(v1alpha1.ReasonProgressing, "%s exists; whether it is to be adopted is decided when this object is %s old, in case another one of the same moment made it", nameOf(role), adoptionAge)
	}
	return nil
}

// look finds the role and reads those of its parts that a pass needs.
func (k *projectRoleKind) look(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole) (roleState, error) {
	roleType, exists, err := k.find(ctx, c, role)
	if err != nil || !exists {
		return roleState{}, err
	}
	have := roleState{exists: true, roleType: roleType}
	if roleType != typeOf(role) {
		return have, nil
	}
	err = k.read(ctx, c, role, &have)
	if cloud.IsNotFound(err) {
		return k.confirmAbsent(ctx, c, role, err)
	}
	return have, err
}

// find looks for the role in the list of its project, which all roles of the project share. A role that the object claims is only absent
// if a list asked for just now lacks it and the service says the same of the role itself: lists can lag.
func (k *projectRoleKind) find(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole) (roleType string, exists bool, err error) {
	project, name := role.Spec.ProjectName, role.Spec.RoleName
	claimed := role.Status.Created || role.Status.Creating || role.Status.Adopted
	found, exists, err := c.FindRole(ctx, project, name, k.listAge(role))
	if err == nil && !exists && claimed {
		found, exists, err = c.FindRole(ctx, project, name, 0)
	}
	if err != nil || exists || !claimed {
		return found.Type, exists, err
	}
	if role.Spec.Type == v1alpha1.RoleTypeAdmin {
		_, err = c.GetRolePolicy(ctx, project, name)
	} else {
		_, err = c.GetRoleACL(ctx, project, name)
	}
	return typeOf(role), err == nil, absent(err)
}

// listAge is how old the list of roles may be: as old as the interval for a role that has long been there, so that all roles of a
// project share one list per interval; fresh for one that is new; asked for now for one that is about to be dropped, or that somebody
// asks to look at.
func (k *projectRoleKind) listAge(role *v1alpha1.ProjectRole) time.Duration {
	switch {
	case conditions.IsRequested(role), !role.DeletionTimestamp.IsZero():
		return 0
	case (role.Status.Created || role.Status.Adopted) && !role.Status.Creating:
		return cmp.Or(role.GetInterval(), k.interval)
	}
	return freshList
}

// confirmAbsent decides between a list that showed the role and a call that says it does not exist: by a list asked for now.
func (k *projectRoleKind) confirmAbsent(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, notFound error) (roleState, error) {
	_, exists, err := c.FindRole(ctx, role.Spec.ProjectName, role.Spec.RoleName, 0)
	if err == nil && exists {
		err = notFound
	}
	return roleState{}, err
}

// read reads what a pass needs to see of a role: what the spec manages, and what may have to be taken back. To settle the outcome of a
// create, all of it; to drop the whole role, only its members.
func (k *projectRoleKind) read(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, have *roleState) (err error) {
	project, name, spec, owned := role.Spec.ProjectName, role.Spec.RoleName, role.Spec, inventoryOf(role)
	dropping := !role.DeletionTimestamp.IsZero() && role.Status.Created
	needed := func(managed, owns bool) bool {
		return role.Status.Creating || !dropping && (managed && role.DeletionTimestamp.IsZero() || owns)
	}
	if have.roleType == maxcompute.TypeResource && needed(spec.ACL != nil, !owned.acl.Empty()) {
		if have.acl, err = c.GetRoleACL(ctx, project, name); err != nil {
			return err
		}
		have.hasACL = true
	}
	if needed(spec.Policy != nil, len(owned.statements) > 0) {
		// Nobody knows how the service says that a role has no policy. Of a role that this object made, null can mean nothing else; of any
		// other, a policy might be overwritten because of it.
		have.policy, err = c.GetRolePolicy(ctx, project, name)
		if err != nil && (!maxcompute.IsNull(err) || !role.Status.Created) {
			return err
		}
		have.hasPolicy = true
	}
	if needed(spec.Members != nil, owned.members.Len() > 0) || dropping {
		return k.readMembers(ctx, c, role, have)
	}
	return nil
}

// readMembers lists who has the role. One member whose account was deleted makes the service refuse the whole list: then nothing is
// known, and nothing may be concluded from it, but which member that may be.
func (k *projectRoleKind) readMembers(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, have *roleState) error {
	members, err := c.ListUsersByRole(ctx, role.Spec.ProjectName, role.Spec.RoleName)
	if err == nil {
		have.hasMembers, have.members = true, acl.NewMembers(members...)
		return nil
	}
	if !maxcompute.IsStaleMember(err) {
		return err
	}
	known := append(inventoryOf(role).members.List(), role.Spec.Members...)
	users, listErr := c.ListTenantUsers(ctx)
	switch {
	case cloud.CodeOf(listErr) == cloud.RemoteUnavailable:
		return listErr
	case listErr == nil:
		have.dead = maxcompute.DeadAmong(known, users)
	}
	have.unlistable = true
	if role.IsObserved() || role.Status.Creating {
		return fmt.Errorf("%s: %w", deadMembers(have.dead), err)
	}
	return nil
}

// deadMembers says which member keeps the service from listing them all.
func deadMembers(dead []string) string {
	if len(dead) == 0 {
		return "a member's account does not exist any more, which keeps the service from listing the members; it is none that this object knows, so find and remove it in the project"
	}
	const named = 5
	list := strings.Join(dead[:min(named, len(dead))], ", ")
	if len(dead) > named {
		list += fmt.Sprintf(" and %d more", len(dead)-named)
	}
	return "the account of member " + list + " does not exist any more, which keeps the service from listing the members: remove it from spec.members"
}
