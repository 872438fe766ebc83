package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// Observe implements engine.Kind.
func (k *projectRoleKind) Observe(ctx context.Context, role *v1alpha1.ProjectRole) (roleState, error) {
	account, err := k.reach(ctx, role)
	if err != nil || account == nil {
		return roleState{}, err
	}
	have, err := k.look(ctx, account.MaxCompute, role)
	have.endpoint, have.unfinished = account.Endpoint, k.unfinished(role)
	if err == nil {
		err = k.looked(ctx, role, have.exists)
	}
	if err == nil && have.exists && !inventoryOf(role).isSeen(have) {
		err = k.notVisible(role)
	}
	if err == nil && role.DeletionTimestamp.IsZero() {
		k.waitForPackages(ctx, account.MaxCompute, role, &have)
	}
	return have, account.Noticed(err)
}

// waitForPackages finds the permissions that the role is to get on packages and that nobody can give yet: the packages are not installed
// in its project. Whether they are is asked about for these alone, so that what is wrong with the answer keeps nothing else waiting. An
// identity that may not list packages has them tried.
func (k *projectRoleKind) waitForPackages(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, have *roleState) {
	age := freshList
	if ready := conditions.ReadyCondition(role); ready != nil && ready.Reason == v1alpha1.ReasonPartiallyApplied {
		// It may wait for just this, and be looked at because it has come.
		age = 0
	}
	var missing []acl.Grant
	for _, g := range specACL(role).Minus(have.acl).Grants() {
		source, name, ok := installedPackage(role, g.Name)
		if g.Kind != acl.Package || !ok {
			continue
		}
		_, exists, err := c.FindInstallation(ctx, role.Spec.ProjectName, source, name, age)
		age = freshList
		switch {
		case cloud.CodeOf(err) == cloud.PermissionDenied, exists:
			continue
		case err != nil:
			have.waits = append(have.waits, fmt.Sprintf("package %s: whether it is installed in project %s cannot be told: %v", g.Name, role.Spec.ProjectName, err))
		default:
			have.waits = append(have.waits, fmt.Sprintf("package %s is not installed in project %s yet", g.Name, role.Spec.ProjectName))
		}
		missing = append(missing, g)
	}
	have.uninstalled = acl.NewSet(missing...)
}

// look finds the role, in the list of its project, and reads those of its parts that a pass needs.
func (k *projectRoleKind) look(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole) (roleState, error) {
	project, name := role.Spec.ProjectName, role.Spec.RoleName
	roleType := typeOf(role)
	find := func(maxAge time.Duration) (bool, error) {
		found, exists, err := c.FindRole(ctx, project, name, maxAge)
		if exists {
			roleType = found.Type
		}
		return exists, err
	}
	exists, err := k.present(role, find, func() (err error) {
		if role.Spec.Type == v1alpha1.RoleTypeAdmin {
			_, err = c.GetRolePolicy(ctx, project, name)
		} else {
			_, err = c.GetRoleACL(ctx, project, name)
		}
		return err
	})
	if err != nil || !exists {
		return roleState{}, err
	}
	have := roleState{exists: true, roleType: roleType, unread: map[string]bool{}}
	if roleType != typeOf(role) {
		return have, nil
	}
	err = k.read(ctx, c, role, &have)
	if cloud.IsNotFound(err) {
		return roleState{}, confirmAbsent(find, err)
	}
	return have, err
}

// read reads what a pass needs to see of a role: what the spec manages, and what may have to be taken back. To settle the outcome of a
// create, all of it; to drop the whole role, only its members. A part that cannot be read does not keep the others from becoming what they
// should be, nor what the spec has dropped of that part from being taken back.
func (k *projectRoleKind) read(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, have *roleState) error {
	spec, owned := role.Spec, inventoryOf(role)
	dropping := !role.DeletionTimestamp.IsZero() && role.Status.Created
	needed := func(managed, owns bool) bool {
		return role.Status.Creating || !dropping && (managed && role.DeletionTimestamp.IsZero() || owns)
	}
	parts := map[string]func(context.Context, *maxcompute.Client, *v1alpha1.ProjectRole, *roleState) error{}
	if have.roleType == maxcompute.TypeResource && needed(spec.ACL != nil, !owned.acl.Empty()) {
		parts[partACL] = readACL
	}
	if needed(spec.Policy != nil, len(owned.statements) > 0) {
		parts[partPolicy] = readPolicy
	}
	if needed(spec.Members != nil, owned.members.Len() > 0) || dropping {
		parts[partMembers] = k.readMembers
	}
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		err := parts[part](ctx, c, role, have)
		switch {
		case err == nil:
		case cloud.IsNotFound(err), conditions.IsShutdown(ctx, err), role.Status.Creating, meetsAll(err), have.failure != nil && mayMeetAll(err):
			return err
		default:
			have.unread[part], have.failure = true, cmp.Or(have.failure, err)
		}
	}
	return nil
}

func readACL(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, have *roleState) (err error) {
	have.acl, err = c.GetRoleACL(ctx, role.Spec.ProjectName, role.Spec.RoleName)
	have.hasACL = err == nil
	return err
}

// readPolicy reads the policy. Nobody knows how the service says that a role has none. Of a role that this object made, null can mean nothing
// else; of any other, a policy might be overwritten because of it.
func readPolicy(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, have *roleState) (err error) {
	have.policy, err = c.GetRolePolicy(ctx, role.Spec.ProjectName, role.Spec.RoleName)
	if maxcompute.IsNull(err) && role.Status.Created {
		err = nil
	}
	have.hasPolicy = err == nil
	return err
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
