package controllers

import (
	"maps"
	"slices"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// What inventories and plans call what is not an object that a permission is about.
const (
	roleKind      = "Role"
	memberKind    = "Member"
	statementKind = "Statement"
)

// The parts of a role, each of which is read by a call of its own.
const (
	partACL     = "acl"
	partMembers = "members"
	partPolicy  = "policy"
)

// roleState is a role as it is wanted, or as it was found. Each of the three parts is there or not: wanted if the spec has it, found if it
// was read.
type roleState struct {
	exists bool
	// roleType is maxcompute.TypeResource or TypeAdmin.
	roleType string

	hasACL bool
	acl    acl.Set

	hasPolicy bool
	policy    acl.Document

	hasMembers bool
	members    acl.Members
	// unlistable is set on a found role whose members the service cannot list, because one of them does not exist any more; dead are those
	// that it may be.
	unlistable bool
	dead       []string

	// unread are the parts of a found role that should have been read and could not, and failure is why the first of them could not:
	// nothing is known of them.
	unread  map[string]bool
	failure error

	// uninstalled are permissions on packages that are not installed in the project, or may not be, and waits says so of each.
	uninstalled acl.Set
	waits       []string

	// unfinished says that a create whose outcome is not known may still take effect.
	unfinished bool
	// endpoint is where the role was looked for.
	endpoint string
}

// stateOf is what the spec of a role wants.
func stateOf(role *v1alpha1.ProjectRole) (roleState, error) {
	want := roleState{exists: true, roleType: typeOf(role), hasACL: role.Spec.ACL != nil, acl: specACL(role)}
	if role.Spec.Members != nil {
		want.hasMembers, want.members = true, acl.NewMembers(role.Spec.Members...)
	}
	if unknown := want.members.Unknown(); len(unknown) > 0 {
		return want, conditions.Stall(v1alpha1.ReasonInvalidSpec, "members: %q is none of ALIYUN$account, RAM$account:user and RAM$account:role/name", unknown[0])
	}
	if role.Spec.Policy != nil {
		policy, err := parsePolicy(role.Spec.Policy.Raw)
		if err != nil {
			return want, err
		}
		want.hasPolicy, want.policy = true, policy
	}
	return want, maxcompute.Validate(want.acl)
}

func parsePolicy(raw []byte) (acl.Document, error) {
	if len(raw) > acl.MaxPolicyBytes {
		return acl.Document{}, conditions.Stall(v1alpha1.ReasonInvalidSpec, "policy: %d bytes are more than the %d that a policy may have", len(raw), acl.MaxPolicyBytes)
	}
	document, err := acl.ParseDocument(raw)
	if err != nil {
		return acl.Document{}, conditions.Stall(v1alpha1.ReasonInvalidSpec, "policy: %v", err)
	}
	return document, nil
}

func typeOf(role *v1alpha1.ProjectRole) string {
	if role.Spec.Type == v1alpha1.RoleTypeAdmin {
		return maxcompute.TypeAdmin
	}
	return maxcompute.TypeResource
}

// policyOf is how the difference is to be closed. An object that only observes reports all of it.
func policyOf(role *v1alpha1.ProjectRole) acl.Policy {
	if role.Spec.ManagementPolicy == v1alpha1.ManagementAdditive {
		return acl.Additive
	}
	return acl.Authoritative
}

// specACL is what the spec lists, as a set. It is empty if the spec has no acl.
func specACL(role *v1alpha1.ProjectRole) acl.Set {
	spec := role.Spec.ACL
	if spec == nil {
		return acl.Set{}
	}
	list := objectGrants(spec.Tables, spec.Resources, spec.Functions)
	add := func(kind acl.Kind, name string, actions []string) {
		list = append(list, acl.Grant{Kind: kind, Name: name, Actions: actions})
	}
	for _, g := range spec.Packages {
		add(acl.Package, g.Name, g.Actions)
	}
	for _, g := range spec.Projects {
		add(acl.Project, g.Name, g.Actions)
	}
	for _, g := range spec.Instances {
		add(acl.Instance, g.Name, g.Actions)
	}
	return acl.NewSet(list...)
}

// objectGrants are the permissions on objects that live in a schema.
func objectGrants(tables []v1alpha1.TableGrant, resources []v1alpha1.ResourceGrant, functions []v1alpha1.FunctionGrant) []acl.Grant {
	var list []acl.Grant
	for _, g := range tables {
		list = append(list, acl.Grant{Kind: acl.Table, Schema: g.SchemaName, Name: g.Name, Actions: g.Actions})
	}
	for _, g := range resources {
		list = append(list, acl.Grant{Kind: acl.Resource, Schema: g.SchemaName, Name: g.Name, Actions: g.Actions})
	}
	for _, g := range functions {
		list = append(list, acl.Grant{Kind: acl.Function, Schema: g.SchemaName, Name: g.Name, Actions: g.Actions})
	}
	return list
}

// inventory is what an object granted, or was about to grant.
type inventory struct {
	acl acl.Set
	// statements of the policy, by fingerprint.
	statements map[string]bool
	members    acl.Members
}

func inventoryOf(role *v1alpha1.ProjectRole) inventory {
	var list []acl.Grant
	var members []string
	owned := inventory{statements: map[string]bool{}}
	for _, e := range role.Status.Applied {
		switch e.Kind {
		case memberKind:
			members = append(members, e.Name)
		case statementKind:
			owned.statements[e.Name] = true
		default:
			list = append(list, acl.Grant{Kind: acl.Kind(e.Kind), Schema: e.SchemaName, Name: e.Name, Actions: e.Actions})
		}
	}
	owned.acl, owned.members = acl.NewSet(list...), acl.NewMembers(members...)
	return owned
}

func (i inventory) equal(j inventory) bool {
	return i.acl.Equal(j.acl) && maps.Equal(i.statements, j.statements) && i.members.Equal(j.members)
}

// covers tells whether a role, all of which was read, holds nothing beyond the inventory.
func (i inventory) covers(have roleState) bool {
	return have.hasPolicy && have.hasMembers && i.acl.Contains(have.acl) && i.members.Contains(have.members) &&
		len(have.members.Unknown()) == 0 && have.policy.Without(i.statements).Empty()
}

// isSeen tells whether a role holds all of the inventory, as far as its parts were read.
func (i inventory) isSeen(have roleState) bool {
	return (!have.hasACL || have.acl.Contains(i.acl)) && (!have.hasMembers || have.members.Contains(i.members)) &&
		(!have.hasPolicy || len(have.policy.Keep(i.statements).Fingerprints()) == len(i.statements))
}

// store writes an inventory into status. One that means the same is left as it is written.
func (i inventory) store(role *v1alpha1.ProjectRole) {
	if i.equal(inventoryOf(role)) {
		return
	}
	role.Status.Applied = nil
	for _, g := range i.acl.Grants() {
		role.Status.Applied = append(role.Status.Applied, v1alpha1.InventoryEntry{Kind: string(g.Kind), SchemaName: g.Schema, Name: g.Name, Actions: g.Actions})
	}
	for _, fingerprint := range slices.Sorted(maps.Keys(i.statements)) {
		role.Status.Applied = append(role.Status.Applied, v1alpha1.InventoryEntry{Kind: statementKind, Name: fingerprint})
	}
	for _, member := range i.members.List() {
		role.Status.Applied = append(role.Status.Applied, v1alpha1.InventoryEntry{Kind: memberKind, Name: member})
	}
}

// with adds what a step is about to grant.
func (i inventory) with(step plan.Step) inventory {
	switch step.Verb {
	case plan.Create:
		i.acl = i.acl.Union(grants(step.Contents...))
	case plan.Grant:
		i.acl = i.acl.Union(grants(step.Entry))
	case plan.AddMember:
		i.members = i.members.Union(acl.NewMembers(step.Members...))
	case plan.SetPolicy:
		i.statements = maps.Clone(i.statements)
		for _, statement := range step.Contents {
			i.statements[statement.Name] = true
		}
	default:
	}
	return i
}

// without drops what a step has taken away.
func (i inventory) without(step plan.Step) inventory {
	switch step.Verb {
	case plan.Revoke:
		i.acl = i.acl.Minus(grants(step.Entry))
	case plan.RemoveMember:
		i.members = i.members.Minus(acl.NewMembers(step.Members...))
	case plan.SetPolicy:
		if document, err := acl.ParseDocument([]byte(step.Policy)); err == nil {
			i.statements = document.Keep(i.statements).Fingerprints()
		}
	default:
	}
	return i
}

// trim drops what is neither wanted nor there any more: it needs no taking back. What is not managed any more is only dropped once the
// service has had time to show what was written last: a read that lags must not let a grant be forgotten.
func (i inventory) trim(want, have roleState, settled bool) inventory {
	if have.hasACL && want.hasACL {
		i.acl = i.acl.Intersect(have.acl.Union(want.acl))
	}
	if have.hasMembers && (want.hasMembers || settled) {
		i.members = i.members.Intersect(have.members.Union(want.members))
	}
	if have.hasPolicy && (want.hasPolicy || settled) {
		i.statements = have.policy.Union(want.policy).Keep(i.statements).Fingerprints()
	}
	return i
}

// foreign counts what a role holds beyond what is wanted and what the object granted itself.
func foreign(want, have roleState, owned inventory) int {
	n := 0
	if want.hasACL {
		n += have.acl.Minus(want.acl).Minus(owned.acl).Pairs()
	}
	if want.hasMembers {
		n += have.members.Minus(want.members).Minus(owned.members).Len() + len(have.members.Unknown())
	}
	if want.hasPolicy {
		n += len(have.policy.Minus(want.policy).Without(owned.statements).Statements())
	}
	return n
}

// steps makes one step per object of a set.
func steps(verb plan.Verb, set acl.Set) []plan.Step {
	var out []plan.Step
	for _, entry := range entries(set) {
		out = append(out, plan.Step{Verb: verb, Entry: entry})
	}
	return out
}

func entries(set acl.Set) []plan.Entry {
	var out []plan.Entry
	for _, g := range set.Grants() {
		out = append(out, plan.Entry{Kind: string(g.Kind), SchemaName: g.Schema, Name: g.Name, Actions: g.Actions})
	}
	return out
}

func grants(list ...plan.Entry) acl.Set {
	out := make([]acl.Grant, 0, len(list))
	for _, e := range list {
		out = append(out, grant(e))
	}
	return acl.NewSet(out...)
}

func grant(e plan.Entry) acl.Grant {
	return acl.Grant{Kind: acl.Kind(e.Kind), Schema: e.SchemaName, Name: e.Name, Actions: e.Actions}
}
