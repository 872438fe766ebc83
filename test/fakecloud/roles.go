package fakecloud

import (
	"slices"
	"strings"
)

// newRole is what a create request asks for.
type newRole struct {
	name, typ, policy string
	acl               []Grant
}

// createRole refuses the whole request if any part of it is wrong.
func (t *txn) createRole(n newRole) *problem {
	p, refusal := t.project()
	if refusal != nil {
		return refusal
	}
	if refusal := n.check(); refusal != nil {
		return refusal
	}
	if refusal := t.mayManage(n.typ); refusal != nil {
		return refusal
	}
	name := fold(n.name)
	if p.roles[name] != nil {
		return alreadyExists(t.c, t.s.exists, "role", n.name)
	}
	r := (&role{name: name, typ: n.typ}).withPolicy(n.policy, t.s.echo(p))
	for _, g := range n.acl {
		canon, refusal := t.grantable(p, r, g)
		if refusal != nil {
			return refusal
		}
		r.acl, _ = merge(r.acl, canon)
	}
	t.changed(Change{Change: ChangeCreateRole, Role: name})
	for _, g := range r.acl {
		t.changed(grantChange(ChangeGrant, name, g, g.Actions))
	}
	if n.policy != "" {
		t.changed(Change{Change: ChangeSetPolicy, Role: name, Policy: n.policy})
	}
	t.put(p, name, r)
	return nil
}

func (n *newRole) check() *problem {
	if !roleName.MatchString(n.name) {
		return invalid("invalid role name '%s'", n.name)
	}
	switch n.typ {
	case typeResource, typeAdmin:
	case "":
		n.typ = typeResource // "Alibaba Cloud documentation: CREATE ROLE": resource unless said otherwise
	default:
		return invalid("invalid role type '%s'", n.typ)
	}
	if n.typ == typeAdmin && len(n.acl) > 0 {
		return invalid("an admin role takes a policy, not an acl")
	}
	return checkPolicy(n.policy)
}

// grantable checks that a role may be granted something in a project.
func (t *txn) grantable(p *project, r *role, g Grant) (Grant, *problem) {
	canon, refusal := canonical(g)
	switch {
	case refusal != nil:
		return Grant{}, refusal
	case r.typ == typeAdmin:
		return Grant{}, invalid("the admin role '%s' takes a policy, not an acl", r.name)
	case canon.Kind == "project" && canon.Name != p.name && !strings.Contains(canon.Name, "*"):
		return Grant{}, invalid("a role of project %s has no rights on project %s", p.name, canon.Name)
	case canon.SchemaName != defaultSchema && !p.threeTier:
		return Grant{}, invalid("project %s has no schemas", p.name)
	case !p.exists(canon):
		return Grant{}, noObject(t.c, canon)
	}
	return canon, nil
}

// grant succeeds whether or not the role has the grant already.
func (t *txn) grant(name string, g Grant) *problem {
	p, r, refusal := t.role(name)
	if refusal != nil {
		return refusal
	}
	canon, refusal := t.grantable(p, r, g)
	if refusal != nil {
		return refusal
	}
	acl, added := merge(r.acl, canon)
	if len(added) > 0 {
		t.changed(grantChange(ChangeGrant, r.name, canon, added))
		t.put(p, r.name, r.withACL(acl))
	}
	return nil
}

// revoke succeeds whether or not the role has the grant. The object need not exist: whoever revokes
// may have lost a race against a dropped table.
func (t *txn) revoke(name string, g Grant) *problem {
	p, r, refusal := t.role(name)
	if refusal != nil {
		return refusal
	}
	canon, refusal := canonical(g)
	if refusal != nil {
		return refusal
	}
	acl, removed := remove(r.acl, canon)
	if len(removed) > 0 {
		t.changed(grantChange(ChangeRevoke, r.name, canon, removed))
		t.put(p, r.name, r.withACL(acl))
	}
	return nil
}

// dropRole refuses to drop what users hold ("Alibaba Cloud documentation: DROP ROLE").
func (t *txn) dropRole(name string) *problem {
	p, r, refusal := t.role(name)
	switch {
	case refusal != nil:
		return refusal
	case slices.Contains(builtInRoles, r.name):
		return invalid("the built-in role '%s' cannot be dropped", r.name)
	}
	if refusal := t.mayManage(r.typ); refusal != nil {
		return refusal
	}
	if len(r.members) > 0 {
		return roleInUse(t.c, r.name)
	}
	t.changed(Change{Change: ChangeDropRole, Role: r.name})
	t.put(p, r.name, nil)
	return nil
}

// updateMembers adds, then removes; the order is made up. Nothing happens unless all of it can.
func (t *txn) updateMembers(name string, add, remove []string) *problem {
	p, r, refusal := t.role(name)
	if refusal != nil {
		return refusal
	}
	added, refusal := t.newMembers(p, r, add)
	if refusal != nil {
		return refusal
	}
	removed, refusal := r.held(remove)
	if refusal != nil {
		return refusal
	}
	t.setMembers(p, r, added, removed)
	return nil
}

// newMembers checks that a role may be given to principals. Only a super administrator makes others
// of them ("Alibaba Cloud documentation: Manage user permissions in the console").
func (t *txn) newMembers(p *project, r *role, names []string) ([]string, *problem) {
	added, refusal := principals(names)
	if refusal != nil {
		return nil, refusal
	}
	for _, m := range added {
		if _, known := p.users[m]; p.strict && !known || t.s.tenant.dead[m] {
			return nil, invalid("Invalid account Name %s", m)
		}
	}
	if r.name == superAdministrator && len(added) > 0 {
		return added, t.mayManage(typeAdmin)
	}
	return added, nil
}

// held folds the names of members to remove. One that the role holds just so is taken as it is: that
// the service removes members whose names it would not accept as new ones is made up.
func (r *role) held(names []string) ([]string, *problem) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		folded, refusal := principal(n)
		switch {
		case slices.Contains(r.members, n):
			folded = n
		case refusal != nil:
			return nil, refusal
		}
		out = append(out, folded)
	}
	return out, nil
}

func (t *txn) setMembers(p *project, r *role, add, remove []string) {
	members := slices.Clone(r.members)
	changes := len(t.changes)
	for _, m := range add {
		p.users[m] = struct{}{}
		t.s.tenant.add(m)
		i, found := slices.BinarySearch(members, m)
		if found {
			continue
		}
		members = slices.Insert(members, i, m)
		t.changed(Change{Change: ChangeAddMember, Role: r.name, Principal: m})
	}
	for _, m := range remove {
		i, found := slices.BinarySearch(members, m)
		if !found {
			continue
		}
		members = slices.Delete(members, i, i+1)
		t.changed(Change{Change: ChangeRemoveMember, Role: r.name, Principal: m})
	}
	if len(t.changes) > changes {
		t.put(p, r.name, r.withMembers(members))
	}
}

// dropObject removes an object and, silently, every grant on it, users' among them ("Alibaba Cloud documentation:
// ACL-based access control"). That it also leaves the packages is made up.
func (t *txn) dropObject(p *project, o object) {
	delete(p.objects, o)
	delete(p.tables, o)
	t.dropGrants(p, o)
	t.s.orders.forget(func(g TablePermission) bool {
		return o == object{"table", g.SchemaName, g.Table} && g.Project == p.name
	})
	t.dropEntries(p, o)
}

// dropGrants takes all grants on an object from the roles of a project.
func (t *txn) dropGrants(p *project, o object) {
	for _, name := range p.sortedNames() {
		r := p.roles[name]
		acl := slices.DeleteFunc(slices.Clone(r.acl), func(g Grant) bool { return objectOf(g) == o })
		if len(acl) < len(r.acl) {
			t.put(p, name, r.withACL(acl))
		}
	}
}
