package fakecloud

import (
	"slices"
	"strings"
)

var (
	verbCreateRole     = &verb{write: true, exec: execCreateRole}
	verbDropRole       = &verb{write: true, exec: execDropRole}
	verbGrant          = &verb{write: true, exec: execGrant}
	verbRevoke         = &verb{write: true, exec: execRevoke}
	verbRevokeFromUser = &verb{write: true, exec: execRevokeFromUser}

	verbGrantRole    = &verb{write: true, exec: execGrantRole}
	verbRevokeRole   = &verb{write: true, exec: execRevokeRole}
	verbListRoles    = &verb{exec: execListRoles}
	verbDescribeRole = &verb{exec: execDescribeRole}
	verbShowGrants   = &verb{exec: execShowGrants}

	verbShowGrantsForUser = &verb{exec: execShowGrantsForUser}
)

// Statements that change something answer with an empty result; the console client prints OK then.
// Faults of the kind result have them answer otherwise.

func execCreateRole(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.createRole(newRole{name: st.role(), typ: fold(st.roleType)})
}

func execDropRole(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.dropRole(st.role())
}

func execGrant(t *txn, st *statement, set settings) (string, *problem) {
	g, p := t.resolve(st, set)
	if p != nil {
		return "", p
	}
	return "", t.grant(st.role(), g)
}

func execRevoke(t *txn, st *statement, set settings) (string, *problem) {
	g, p := t.resolve(st, set)
	if p != nil {
		return "", p
	}
	return "", t.revoke(st.role(), g)
}

// execRevokeFromUser takes permissions on a table from a user; on other objects no user has any.
func execRevokeFromUser(t *txn, st *statement, set settings) (string, *problem) {
	g, p := t.resolve(st, set)
	if p != nil {
		return "", p
	}
	if g.Kind != "table" {
		return "", invalid("no user has privileges on a %s", g.Kind)
	}
	user, p := t.s.tenant.accountOf(st.principal)
	if p != nil {
		return "", p
	}
	return "", t.revokeFromUser(g, user)
}

// execGrantRole grants all roles or none.
func execGrantRole(t *txn, st *statement, _ settings) (string, *problem) {
	members := []string{st.principal}
	for _, name := range st.roles {
		p, r, refusal := t.role(name)
		if refusal != nil {
			return "", refusal
		}
		if _, refusal := t.newMembers(p, r, members); refusal != nil {
			return "", refusal
		}
	}
	for _, name := range st.roles {
		if p := t.updateMembers(name, members, nil); p != nil {
			return "", p
		}
	}
	return "", nil
}

func execRevokeRole(t *txn, st *statement, _ settings) (string, *problem) {
	for _, name := range st.roles {
		if p := t.updateMembers(name, nil, []string{st.principal}); p != nil {
			return "", p
		}
	}
	return "", nil
}

func execListRoles(t *txn, _ *statement, _ settings) (string, *problem) {
	p, refusal := t.project()
	if refusal != nil {
		return "", refusal
	}
	var b strings.Builder
	for _, r := range p.rolesAt(t.before).roles {
		b.WriteString(r.name + "\n")
	}
	return b.String(), nil
}

// execDescribeRole and execShowGrants answer with the documented text even if the client asked for
// JSON: no public source shows the JSON form ("Alibaba Cloud documentation: Query permissions by
// using MaxCompute SQL").
func execDescribeRole(t *txn, st *statement, _ settings) (string, *problem) {
	p, r, refusal := t.role(st.role())
	if refusal != nil {
		return "", refusal
	}
	var b strings.Builder
	b.WriteString("[users]\n" + strings.Join(r.members, ", ") + "\n\nAuthorization Type: ACL\n")
	writeGrants(&b, p, r)
	return b.String(), nil
}

func execShowGrants(t *txn, st *statement, _ settings) (string, *problem) {
	p, r, refusal := t.role(st.role())
	if refusal != nil {
		return "", refusal
	}
	var b strings.Builder
	b.WriteString("Authorization Type: ACL\n[role/" + r.name + "]\n")
	writeGrants(&b, p, r)
	return b.String(), nil
}

// userGrants is the answer to SHOW GRANTS FOR a user, which comes as JSON (goto/guardian and
// aliyun/alibabacloud-maxcompute-mcp-server read it so). How it spells the holders of entries is
// made up, after the documented text form.
type userGrants struct {
	Roles           []string              `json:"Roles"`
	SuperPrivileges []string              `json:"SuperPrivileges"`
	Creator         []string              `json:"Creator"`
	ACL             map[string][]aclGrant `json:"ACL"`
	Policy          map[string][]aclGrant `json:"Policy"`
	Download        map[string][]aclGrant `json:"Download"`
}

type aclGrant struct {
	Resource string   `json:"Resource"`
	Action   []string `json:"Action"`
	Effect   string   `json:"Effect"`
}

// execShowGrantsForUser lists what a user was granted because of orders, and what their roles have.
// Roles are those that there are now, whatever the age of the read.
func execShowGrantsForUser(t *txn, st *statement, _ settings) (string, *problem) {
	p, refusal := t.project()
	if refusal != nil {
		return "", refusal
	}
	user, refusal := t.s.tenant.accountOf(st.principal)
	if refusal != nil {
		return "", refusal
	}
	name := t.s.tenant.principalOf(user)
	out := userGrants{Roles: []string{}, SuperPrivileges: []string{}, Creator: []string{}, ACL: map[string][]aclGrant{}, Policy: map[string][]aclGrant{}, Download: map[string][]aclGrant{}}
	for _, g := range t.s.permissions(func(g TablePermission) bool { return g.Project == p.name && g.User == user }) {
		k := kindByName("table")
		resource := k.objectPath(p, Grant{Kind: "table", SchemaName: g.SchemaName, Name: g.Table})
		resources := []string{resource}
		for i, column := range g.Columns {
			resources = append(resources[:i], resource+"/"+column)
		}
		for _, resource := range resources {
			out.ACL["user/"+name] = append(out.ACL["user/"+name], newACLGrant(k, resource, []string{g.Action}))
		}
	}
	for _, key := range sortedKeys(p.roles) {
		r := p.roles[key]
		if !slices.Contains(r.members, name) {
			continue
		}
		out.Roles = append(out.Roles, r.name)
		for _, g := range r.acl {
			k := kindByName(g.Kind)
			out.ACL["role/"+r.name] = append(out.ACL["role/"+r.name], newACLGrant(k, k.objectPath(p, g), g.Actions))
		}
	}
	return string(mustJSON(out)), nil
}

func newACLGrant(k *objectKind, path string, actions []string) aclGrant {
	g := aclGrant{Resource: "acs:odps:*:" + path}
	for _, action := range actions {
		g.Action = append(g.Action, "odps:"+k.spell(action))
	}
	return g
}

func writeGrants(b *strings.Builder, p *project, r *role) {
	for _, g := range r.acl {
		k := kindByName(g.Kind)
		actions := slices.Clone(g.Actions)
		for i := range actions {
			actions[i] = k.spell(actions[i])
		}
		b.WriteString("A\t" + k.objectPath(p, g) + ": " + strings.Join(actions, " | ") + "\n")
	}
}

func (k *objectKind) objectPath(p *project, g Grant) string {
	path := "projects/" + p.name
	if k.name == "project" {
		return "projects/" + g.Name
	}
	if g.SchemaName != defaultSchema {
		path += "/schemas/" + g.SchemaName
	}
	return path + "/" + k.path + "/" + g.Name
}

// resolve finds the schema of the object that a statement names. With the schema model switched on
// by the settings, a.b is table b of schema a; otherwise it is table b of project a.
func (t *txn) resolve(st *statement, set settings) (Grant, *problem) {
	g := Grant{Kind: st.kind, SchemaName: set.schema, Name: st.object, Actions: st.actions}
	if _, refusal := t.project(); refusal != nil {
		return g, refusal
	}
	first, rest, dotted := strings.Cut(st.object, ".")
	if st.kind != "table" || !dotted {
		return g, nil
	}
	if set.namespace {
		g.SchemaName, g.Name = fold(first), rest
		return g, nil
	}
	if fold(first) != t.c.project {
		return g, invalid("table %s is not in project %s", st.object, t.c.project)
	}
	g.Name = rest
	return g, nil
}
