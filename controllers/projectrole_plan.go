package controllers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// Plan implements engine.Kind.
func (k *projectRoleKind) Plan(role *v1alpha1.ProjectRole, want, have roleState) plan.Plan {
	var p plan.Plan
	if !role.IsObserved() {
		want.acl = want.acl.Minus(have.uninstalled)
	}
	switch {
	case !role.DeletionTimestamp.IsZero():
		p = planDeletion(role, have)
		p.Failure = have.failure
		return p
	case !have.exists:
		p = planCreation(role, want, have)
	case have.roleType != typeOf(role):
		p = planCreation(role, want, have)
		p.Hold = &plan.Hold{Reason: v1alpha1.ReasonAlreadyExists, Message: role.GetTarget().String() + " exists and is of type " + have.roleType + ", which MaxCompute cannot change"}
	default:
		p = planChange(role, want, have)
	}
	p.Problems = append(p.Problems, have.waits...)
	p.Failure, p.Basis, p.Holds = have.failure, describe(role, have), have.acl.Pairs()+have.policy.Pairs()+have.members.Len()
	// Of what could not be read, at least the inventory is there.
	if owned := inventoryOf(role); have.unread[partACL] {
		p.Holds += owned.acl.Pairs()
	}
	if owned := inventoryOf(role); have.unread[partMembers] {
		p.Holds += owned.members.Len()
	}
	return p
}

// planCreation creates the role with all that the body of CreateRole can say, and then adds the rest.
func planCreation(role *v1alpha1.ProjectRole, want, have roleState) plan.Plan {
	body, rest := maxcompute.Expressible(want.acl)
	create := plan.Step{
		Verb: plan.Create, Entry: roleEntry(role), Contents: entries(body), Repeat: have.unfinished,
	}
	return plan.Plan{Steps: slices.Concat(
		[]plan.Step{create}, steps(plan.Grant, rest), policyStep(role, want, roleState{}, inventory{}), memberStep(plan.AddMember, role, want.members.List()),
	)}
}

// planChange closes the difference of a role that is there, if the object may do so.
func planChange(role *v1alpha1.ProjectRole, want, have roleState) plan.Plan {
	return admit(role, plan.Plan{Steps: change(role, want, have), Problems: problems(want, have, policyOf(role))}, roleEntry(role))
}

// change lists the steps from what a role holds to what is wanted. A part that is not managed any more is left without what the object
// put there.
func change(role *v1alpha1.ProjectRole, want, have roleState) []plan.Step {
	owned := inventoryOf(role)
	// All of the inventory, seen or not: a read that lags must not let a grant be forgotten.
	access := acl.Change{Revoke: owned.acl}
	switch {
	case have.unread[partACL]:
		access.Revoke = owned.acl.Minus(want.acl)
	case want.hasACL:
		access = acl.Diff(want.acl, have.acl, owned.acl, policyOf(role))
	}
	added, removed := changeMembers(role, want, have, owned)
	return slices.Concat(
		memberStep(plan.RemoveMember, role, removed), steps(plan.Grant, access.Grant), policyStep(role, want, have, owned),
		steps(plan.Revoke, access.Revoke), memberStep(plan.AddMember, role, added),
	)
}

// changeMembers decides who is to be added and removed. Principals that cannot be parsed are never removed. Where the members cannot be
// listed, only what the spec has dropped is removed, and what it has gained is added: never what might be there already.
func changeMembers(role *v1alpha1.ProjectRole, want, have roleState, owned inventory) (added, removed []string) {
	switch {
	case have.unlistable, have.unread[partMembers]:
		if want.hasMembers && role.Status.Created {
			added = want.members.Minus(owned.members).List()
		}
		return added, owned.members.Minus(want.members).List()
	case !want.hasMembers:
		return nil, owned.members.List()
	}
	surplus := have.members.Minus(want.members)
	if policyOf(role) == acl.Additive {
		surplus = surplus.Intersect(owned.members)
	}
	removed = surplus.List()
	if role.IsObserved() {
		removed = append(removed, have.members.Unknown()...)
	}
	return want.members.Minus(have.members).List(), removed
}

func memberStep(verb plan.Verb, role *v1alpha1.ProjectRole, members []string) []plan.Step {
	if len(members) == 0 {
		return nil
	}
	return []plan.Step{{Verb: verb, Entry: roleEntry(role), Members: members}}
}

// policyStep replaces the policy if it does not mean what is wanted. It lists the statements that will be this object's.
func policyStep(role *v1alpha1.ProjectRole, want, have roleState, owned inventory) []plan.Step {
	if !want.hasPolicy && len(owned.statements) == 0 || have.unread[partPolicy] {
		return nil
	}
	next, changed := acl.DiffDocument(want.policy, have.policy, owned.statements, policyOf(role))
	if !changed {
		return nil
	}
	step := plan.Step{
		Verb: plan.SetPolicy, Entry: roleEntry(role), Policy: next.String(), PreviousPolicy: have.policy.String(),
		Allows: acl.Revoked(next, have.policy), Denies: acl.Revoked(have.policy, next),
	}
	written := want.policy
	if policyOf(role) == acl.Additive {
		written = want.policy.Minus(have.policy)
	}
	for _, statement := range written.Statements() {
		step.Contents = append(step.Contents, plan.Entry{Kind: statementKind, Name: statement.Fingerprint()})
	}
	return []plan.Step{step}
}

// problems are differences that no step can mend.
func problems(want, have roleState, policy acl.Policy) []string {
	var list []string
	if have.unlistable {
		list = append(list, deadMembers(have.dead))
	}
	if want.hasMembers && policy == acl.Authoritative {
		for _, member := range have.members.Unknown() {
			list = append(list, fmt.Sprintf("member %q is of no known form and is left alone", member))
		}
	}
	return list
}

// planDeletion takes back what this object did: the role if it created it, members first, whoever added them; and from a role that it
// adopted only what it put there.
func planDeletion(role *v1alpha1.ProjectRole, have roleState) plan.Plan {
	owned := inventoryOf(role)
	switch {
	case !have.exists:
		return plan.Plan{}
	case role.Status.Creating:
		return plan.Plan{Hold: unknownCreate(role)}
	case have.roleType != typeOf(role) && role.Status.Created:
		return plan.Plan{Hold: &plan.Hold{Reason: v1alpha1.ReasonAlreadyExists, Message: role.GetTarget().String() + " is of type " + have.roleType + " now, so it is not the one that this object created"}}
	case have.roleType != typeOf(role):
		return plan.Plan{}
	case role.Status.Created && have.unread[partMembers]:
		// Who else has the role is not known, so it is not dropped yet. Those that are known lose it now.
		return plan.Plan{Steps: memberStep(plan.RemoveMember, role, owned.members.List())}
	case role.Status.Created:
		members := append(have.members.List(), have.members.Unknown()...)
		if have.unlistable {
			members = owned.members.Union(acl.NewMembers(role.Spec.Members...)).List()
		}
		return plan.Plan{Steps: append(memberStep(plan.RemoveMember, role, members), plan.Step{Verb: plan.Delete, Entry: roleEntry(role)})}
	}
	removed, revoked := owned.members.Intersect(have.members), owned.acl.Intersect(have.acl)
	if have.unlistable || have.unread[partMembers] {
		removed = owned.members
	}
	if have.unread[partACL] {
		revoked = owned.acl
	}
	return plan.Plan{Steps: slices.Concat(
		memberStep(plan.RemoveMember, role, removed.List()), policyStep(role, roleState{}, have, owned), steps(plan.Revoke, revoked),
	)}
}

func roleEntry(role *v1alpha1.ProjectRole) plan.Entry {
	return plan.Entry{Kind: roleKind, Name: role.Spec.RoleName}
}

// describe writes down the state that a plan starts from, so that its approval holds for no other.
func describe(role *v1alpha1.ProjectRole, have roleState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s/%s %s %v\n", role.UID, have.endpoint, role.Spec.ProjectName, role.Spec.RoleName, have.roleType, have.exists)
	for _, g := range have.acl.Grants() {
		fmt.Fprintf(&b, "%s %q %q %q\n", g.Kind, strings.ToLower(g.Schema), strings.ToLower(g.Name), g.Actions)
	}
	for _, statement := range have.policy.Statements() {
		fmt.Fprintf(&b, "%s\n", statement.Fingerprint())
	}
	for _, member := range append(have.members.List(), have.members.Unknown()...) {
		fmt.Fprintf(&b, "%q\n", strings.ToLower(member))
	}
	return b.String()
}
