// Package controllers holds one controller per kind.
package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=projectroles,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=projectroles/status,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// freshList is how old a list of roles may be for a role that it lacks to count as absent, or for one that it holds to count as
// somebody else's.
const freshList = 10 * time.Second

// lateCreate is how long after the deletion of an object a create may still take effect whose answer was lost.
const lateCreate = time.Minute

// roleKind is what inventories and plans call a role.
const roleKind = "Role"

// roleState is a role as it is wanted, or as it was found.
type roleState struct {
	exists bool
	// roleType is the type that the service reports.
	roleType string
	acl      acl.Set
	// manageACL is set on a wanted state whose spec has an acl, be it empty; aclRead on a found one whose ACL was read.
	manageACL, aclRead bool
	// members are only read for a deletion, and to tell whose a role is.
	members []string
	// endpoint is where the role was looked for.
	endpoint string
}

// projectRoleKind makes roles of MaxCompute projects what ProjectRoles say.
type projectRoleKind struct {
	accounts *connect.Resolver
	// reader finds the other objects that name the same role.
	reader client.Reader
	clock  clock.PassiveClock
	// interval is the age up to which a list of roles serves for roles that it holds.
	interval time.Duration
}

var _ engine.Kind[*v1alpha1.ProjectRole, roleState] = (*projectRoleKind)(nil)

// Desired implements engine.Kind.
func (k *projectRoleKind) Desired(ctx context.Context, role *v1alpha1.ProjectRole) (roleState, error) {
	if !role.DeletionTimestamp.IsZero() {
		return roleState{}, nil
	}
	if err := k.checkOwner(ctx, role); err != nil {
		return roleState{}, err
	}
	want := roleState{exists: true, roleType: maxcompute.TypeResource, manageACL: role.Spec.ACL != nil, acl: specACL(role)}
	return want, maxcompute.Validate(want.acl)
}

// Observe implements engine.Kind. A deletion that has nothing to take back needs no cloud, and so no Connection.
func (k *projectRoleKind) Observe(ctx context.Context, role *v1alpha1.ProjectRole) (roleState, error) {
	deleting := !role.DeletionTimestamp.IsZero()
	if deleting && !ownsAnything(role) {
		return roleState{}, nil
	}
	account, err := k.account(ctx, role)
	if err != nil {
		return roleState{}, err
	}
	have, err := k.look(ctx, account.MaxCompute, role)
	if err == nil && have.exists && (deleting && role.Status.Created || role.Status.Creating) {
		have, err = k.withMembers(ctx, account.MaxCompute, role, have)
	}
	have.endpoint = account.Endpoint
	if err == nil && !have.exists && deleting && role.Status.Creating && k.clock.Since(role.DeletionTimestamp.Time) < lateCreate {
		err = conditions.Wait(v1alpha1.ReasonProgressing, "a create was sent whose outcome is not known; the role is looked for until %s after the deletion, in case it comes late", lateCreate)
	}
	return have, account.Noticed(err)
}

func (k *projectRoleKind) withMembers(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, have roleState) (roleState, error) {
	members, err := c.ListUsersByRole(ctx, role.Spec.ProjectName, role.Spec.RoleName)
	if cloud.IsNotFound(err) {
		return k.confirmAbsent(ctx, c, role, err)
	}
	have.members = members
	return have, err
}

// account resolves the Connection, and makes sure that it still means the service at which the object has done something.
func (k *projectRoleKind) account(ctx context.Context, role *v1alpha1.ProjectRole) (*connect.Account, error) {
	account, err := k.accounts.Account(ctx, role, role.Spec.ConnectionRef)
	if err != nil {
		return nil, err
	}
	if ownsAnything(role) && role.Status.Endpoint != "" && role.Status.Endpoint != account.Endpoint {
		return nil, conditions.Wait(v1alpha1.ReasonConnectionNotReady,
			"Connection %s now means %s, but what this object did is at %s: point it there again, or delete this object with deletionPolicy: Retain",
			role.Spec.ConnectionRef.Name, account.Endpoint, role.Status.Endpoint)
	}
	return account, nil
}

// look finds the role in the list of its project, which all roles of the project share, and reads its ACL. A role that the object
// claims is only absent if a list asked for just now lacks it and the service says the same of the role itself: lists can lag.
func (k *projectRoleKind) look(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole) (roleState, error) {
	project, name := role.Spec.ProjectName, role.Spec.RoleName
	found, exists, err := c.FindRole(ctx, project, name, k.listAge(role))
	claimed := role.Status.Created || role.Status.Creating
	if err == nil && !exists && claimed {
		found, exists, err = c.FindRole(ctx, project, name, 0)
	}
	if err != nil || !exists && !claimed {
		return roleState{}, err
	}
	if exists && (found.Type != maxcompute.TypeResource || !readsACL(role)) {
		return roleState{exists: true, roleType: found.Type}, nil
	}
	set, err := c.GetRoleACL(ctx, project, name)
	switch {
	case cloud.IsNotFound(err) && !exists:
		return roleState{}, nil
	case cloud.IsNotFound(err):
		return k.confirmAbsent(ctx, c, role, err)
	}
	return roleState{exists: true, roleType: maxcompute.TypeResource, acl: set, aclRead: true}, err
}

// listAge is how old the list of roles may be: as old as the interval for a role that has long been there, so that all roles of a
// project share one list per interval; fresh for one that is new; asked for now for one that is about to be dropped, or that somebody
// asks to look at.
func (k *projectRoleKind) listAge(role *v1alpha1.ProjectRole) time.Duration {
	switch {
	case conditions.IsRequested(role), !role.DeletionTimestamp.IsZero():
		return 0
	case role.Status.Created && !role.Status.Creating:
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

// Report implements engine.Kind. It settles a create whose outcome was lost: a role that holds nothing but what this object asked
// for, and has no members, is taken for the one it asked for. Any other may be somebody else's.
func (k *projectRoleKind) Report(role *v1alpha1.ProjectRole, have roleState) string {
	status := &role.Status
	if !ownsAnything(role) {
		status.Endpoint = have.endpoint
	}
	if have.aclRead && role.Spec.ACL != nil && role.DeletionTimestamp.IsZero() {
		// What is neither wanted nor there any more needs no taking back.
		setInventory(role, inventory(role).Intersect(have.acl.Union(specACL(role))))
	}
	if status.Creating && have.aclRead && len(have.members) == 0 && inventory(role).Contains(have.acl) {
		status.Created, status.Creating = true, false
	}
	return fmt.Sprintf("role %s in project %s is as specified", role.Spec.RoleName, role.Spec.ProjectName)
}

// Plan implements engine.Kind.
func (k *projectRoleKind) Plan(role *v1alpha1.ProjectRole, want, have roleState) plan.Plan {
	switch {
	case !role.DeletionTimestamp.IsZero():
		return planDeletion(role, have)
	case !have.exists:
		return planCreation(role, want)
	}
	if hold := holdOf(role, have); hold != nil {
		return plan.Plan{Hold: hold}
	}
	if !want.manageACL {
		// All of the inventory, seen or not: a read that lags must not let a grant be forgotten.
		return plan.Plan{Steps: steps(plan.Revoke, inventory(role))}
	}
	change := acl.Diff(want.acl, have.acl, inventory(role), acl.Authoritative)
	return plan.Plan{Steps: slices.Concat(steps(plan.Grant, change.Grant), steps(plan.Revoke, change.Revoke))}
}

// holdOf says why an existing role must not be touched.
func holdOf(role *v1alpha1.ProjectRole, have roleState) *plan.Hold {
	name := fmt.Sprintf("role %s in project %s", role.Spec.RoleName, role.Spec.ProjectName)
	switch {
	case have.roleType != maxcompute.TypeResource:
		return &plan.Hold{Reason: v1alpha1.ReasonAlreadyExists, Message: name + " exists and is of type " + have.roleType + ", which MaxCompute cannot change"}
	case role.Status.Creating:
		return &plan.Hold{Reason: v1alpha1.ReasonCreateResultUnknown, Message: name + " exists; the outcome of creating it was lost, and it holds permissions or members that this object did not ask for, so it may be somebody else's. Remove it if it is not needed, or delete this object with deletionPolicy: Retain"}
	case !role.Status.Created:
		return &plan.Hold{Reason: v1alpha1.ReasonAlreadyExists, Message: name + " exists and was not created by this object"}
	}
	return nil
}

// planCreation creates the role with all that the body of CreateRole can say, and grants the rest.
func planCreation(role *v1alpha1.ProjectRole, want roleState) plan.Plan {
	body, rest := maxcompute.Expressible(want.acl)
	create := plan.Step{
		Verb: plan.Create, Entry: plan.Entry{Kind: roleKind, Name: role.Spec.RoleName}, Contents: entries(body),
		Repeat: role.Status.Created || role.Status.Creating,
	}
	return plan.Plan{Steps: append([]plan.Step{create}, steps(plan.Grant, rest)...)}
}

// planDeletion takes back what this object did: the role, if it created it, members first.
func planDeletion(role *v1alpha1.ProjectRole, have roleState) plan.Plan {
	switch {
	case !have.exists || !ownsAnything(role):
		return plan.Plan{}
	case role.Status.Creating || have.roleType != maxcompute.TypeResource:
		return plan.Plan{Hold: holdOf(role, have)}
	}
	var p plan.Plan
	if len(have.members) > 0 {
		p.Steps = append(p.Steps, plan.Step{Verb: plan.RemoveMember, Entry: plan.Entry{Kind: roleKind, Name: role.Spec.RoleName}, Members: have.members})
	}
	p.Steps = append(p.Steps, plan.Step{Verb: plan.Delete, Entry: plan.Entry{Kind: roleKind, Name: role.Spec.RoleName}})
	return p
}

// Intend implements engine.Kind.
func (k *projectRoleKind) Intend(role *v1alpha1.ProjectRole, p plan.Plan) {
	intended := inventory(role)
	for _, step := range p.Steps {
		switch step.Verb {
		case plan.Create:
			role.Status.Creating = true
			intended = intended.Union(grants(step.Contents...))
		case plan.Grant:
			intended = intended.Union(grants(step.Entry))
		case plan.Revoke, plan.RemoveMember, plan.Delete:
		}
	}
	setInventory(role, intended)
}

// Apply implements engine.Kind.
func (k *projectRoleKind) Apply(ctx context.Context, role *v1alpha1.ProjectRole, step plan.Step) error {
	account, err := k.account(ctx, role)
	if err != nil {
		return err
	}
	return account.Noticed(k.apply(ctx, account.MaxCompute, role, step))
}

func (k *projectRoleKind) apply(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, step plan.Step) error {
	project, name := role.Spec.ProjectName, role.Spec.RoleName
	switch step.Verb {
	case plan.Create:
		return k.create(ctx, c, role, step)
	case plan.Grant:
		return c.Grant(ctx, project, name, grant(step.Entry))
	case plan.Revoke:
		if err := c.Revoke(ctx, project, name, grant(step.Entry)); err != nil {
			return err
		}
		setInventory(role, inventory(role).Minus(grants(step.Entry)))
		return nil
	case plan.RemoveMember:
		return c.UpdateUsersToRole(ctx, project, name, nil, step.Members)
	case plan.Delete:
		// The next look tells whether it is gone; until then it is ours.
		if err := c.DeleteRole(ctx, project, name); err != nil && !cloud.IsNotFound(err) {
			return err
		}
		return nil
	}
	return fmt.Errorf("a role knows no step %s", step.Verb)
}

// create makes the role with its ACL; if that is refused, because of one entry perhaps, it makes it bare, and the engine's next
// round grants each entry on its own, so that one table that does not exist does not cost the others.
func (k *projectRoleKind) create(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, step plan.Step) error {
	project, name := role.Spec.ProjectName, role.Spec.RoleName
	err := c.CreateRole(ctx, project, name, grants(step.Contents...))
	if len(step.Contents) > 0 && refusedForContent(err) {
		err = c.CreateRole(ctx, project, name, acl.Set{})
		if cloud.CodeOf(err) == cloud.AlreadyExists {
			// It may be the refused call that made the role. The next look tells by what the role holds.
			return err
		}
	}
	switch {
	case err == nil:
		role.Status.Created, role.Status.Creating = true, false
	case cloud.Refused(err) && !step.Repeat:
		// The service says that this create did nothing, and there was none before: whatever exists is not ours.
		role.Status.Creating, role.Status.Applied = false, nil
	}
	return err
}

// refusedForContent tells whether a create may succeed without its ACL.
func refusedForContent(err error) bool {
	switch cloud.CodeOf(err) {
	case cloud.RemoteRejected, cloud.NotFound, cloud.PermissionDenied:
		return true
	default:
		return false
	}
}

// ownsAnything tells whether there is, or may be, something in the cloud that this object put there.
func ownsAnything(role *v1alpha1.ProjectRole) bool {
	return role.Status.Created || role.Status.Creating || len(role.Status.Applied) > 0
}

// readsACL tells whether a pass needs to see the ACL: not if nothing about it is managed or left to be taken back, nor if the whole
// role is about to be dropped.
func readsACL(role *v1alpha1.ProjectRole) bool {
	switch {
	case role.Status.Creating:
		return true
	case !role.DeletionTimestamp.IsZero():
		return !role.Status.Created
	}
	return role.Spec.ACL != nil || len(role.Status.Applied) > 0
}
