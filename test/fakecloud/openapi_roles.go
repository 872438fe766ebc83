package fakecloud

import (
	"net/http"
	"slices"
	"strconv"
)

// success is what writing calls answer.
func success() answer {
	return answer{render: func() []byte { return []byte(`"success"`) }}
}

// bindCreateRole: see "Alibaba Cloud documentation: CreateRole".
func bindCreateRole(r request) (operation, *problem) {
	n, p := parseCreateRole(r.body)
	if p != nil {
		return nil, p
	}
	r.call.role = fold(n.name)
	return func(t *txn) (answer, *problem) { return success(), t.createRole(n) }, nil
}

func parseCreateRole(body []byte) (newRole, *problem) {
	var n newRole
	fields, p := parseObject(body, "name", "type", "policy", "acl")
	if p != nil {
		return n, p
	}
	if n.name, p = fields.text("name"); p != nil {
		return n, p
	}
	if n.typ, p = fields.text("type"); p != nil {
		return n, p
	}
	if n.policy, p = fields.text("policy"); p != nil {
		return n, p
	}
	n.acl, p = parseACL(fields)
	return n, p
}

// parseACL reads the documented form: a list of {name, actions} per kind. There is no schemaName in
// it, so an object outside the default schema can't be named.
func parseACL(fields fields) ([]Grant, *problem) {
	raw, ok := fields["acl"]
	if !ok {
		return nil, nil
	}
	var names []string
	for _, k := range objectKinds {
		names = append(names, k.name)
	}
	kinds, p := parseObject(raw, names...)
	if p != nil {
		return nil, p
	}
	var acl []Grant
	for _, k := range objectKinds {
		entries, p := kinds.list(k.name)
		if p != nil {
			return nil, p
		}
		for _, e := range entries {
			g, p := parseEntry(k, e)
			if p != nil {
				return nil, p
			}
			acl = append(acl, g)
		}
	}
	return acl, nil
}

func parseEntry(k *objectKind, raw []byte) (Grant, *problem) {
	g := Grant{Kind: k.name}
	entry, p := parseObject(raw, "name", "actions")
	if p != nil {
		return g, p
	}
	if g.Name, p = entry.text("name"); p != nil {
		return g, p
	}
	g.Actions, p = entry.texts("actions")
	return g, p
}

// bindDeleteRole: see "Alibaba Cloud documentation: DeleteRole".
func bindDeleteRole(r request) (operation, *problem) {
	return func(t *txn) (answer, *problem) { return success(), t.dropRole(r.role) }, nil
}

// bindListRoles: see "Alibaba Cloud documentation: ListRoles".
func bindListRoles(request) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		p, refusal := t.project()
		if refusal != nil {
			return answer{}, refusal
		}
		return answer{render: p.rolesAt(t.before).render}, nil
	}, nil
}

func (l *roleList) render() []byte {
	l.once.Do(func() {
		l.json = append(l.json, `{"roles":[`...)
		for i, r := range l.roles {
			if i > 0 {
				l.json = append(l.json, ',')
			}
			l.json = append(l.json, r.listEntry()...)
		}
		l.json = append(l.json, `]}`...)
	})
	return l.json
}

// aclEntry is one object in an answer. ListRoles has no schemaName.
type aclEntry struct {
	Name       string   `json:"name"`
	SchemaName string   `json:"schemaName,omitempty"`
	Actions    []string `json:"actions"`
}

// aclDocument has the documented members in the documented order.
type aclDocument struct {
	Table    []aclEntry `json:"table"`
	Resource []aclEntry `json:"resource"`
	Function []aclEntry `json:"function"`
	Project  []aclEntry `json:"project"`
	Instance []aclEntry `json:"instance"`
	Package  []aclEntry `json:"package"`
}

func (r *role) document(schemas bool) aclDocument {
	lists := map[string][]aclEntry{}
	for _, k := range objectKinds {
		lists[k.name] = []aclEntry{}
	}
	for _, g := range r.acl {
		e := aclEntry{Name: g.Name, Actions: g.Actions}
		if schemas {
			e.SchemaName = g.SchemaName
		}
		lists[g.Kind] = append(lists[g.Kind], e)
	}
	return aclDocument{
		Table: lists["table"], Resource: lists["resource"], Function: lists["function"],
		Project: lists["project"], Instance: lists["instance"], Package: lists["package"],
	}
}

// listEntry is the role in the answer of ListRoles. Roles never change, so it is rendered once.
func (r *role) listEntry() []byte {
	r.listOnce.Do(func() {
		r.listJSON = mustJSON(struct {
			Name   string      `json:"name"`
			Type   string      `json:"type"`
			Policy string      `json:"policy"`
			ACL    aclDocument `json:"acl"`
		}{r.name, r.typ, r.shown, r.document(false)})
	})
	return r.listJSON
}

// aclBody is the role in the answer of GetRoleAcl.
func (r *role) aclBody() []byte {
	r.aclOnce.Do(func() { r.aclJSON = mustJSON(r.document(true)) })
	return r.aclJSON
}

// bindGetRoleACL: see "Alibaba Cloud documentation: GetRoleAcl".
func bindGetRoleACL(r request) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		_, ro, refusal := t.role(r.role)
		if refusal != nil {
			return answer{}, refusal
		}
		return answer{details: true, render: ro.aclBody}, nil
	}, nil
}

// bindGetRolePolicy: see "Alibaba Cloud documentation: GetRolePolicy". The document is a string.
func bindGetRolePolicy(r request) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		p, ro, refusal := t.role(r.role)
		if refusal != nil {
			return answer{}, refusal
		}
		if ro.shown == "" && t.s.echo(p) == PolicyNull {
			return answer{details: true, render: func() []byte { return []byte("null") }}, nil
		}
		return answer{details: true, render: func() []byte { return mustJSON(ro.shown) }}, nil
	}, nil
}

// bindUpdateRole takes the only body that has been seen on the wire (terraform-provider-alicloud).
// The call is not documented, so a client must not try what else it might do.
func bindUpdateRole(r request) (operation, *problem) {
	body, p := parseObject(r.body, "policy")
	doc := ""
	if p == nil {
		doc, p = body.text("policy")
	}
	if p == nil && len(body) == 0 {
		p = badBody("field 'policy' is missing")
	}
	if p != nil {
		p.message, p.violation = "UpdateRole: "+p.message, true
		return nil, p
	}
	return func(t *txn) (answer, *problem) { return success(), t.setPolicy(r.role, doc) }, nil
}

type namedUser struct {
	Name string `json:"name"`
}

func renderUsers(names []string) []byte {
	users := make([]namedUser, len(names))
	for i, n := range names {
		users[i].Name = n
	}
	return mustJSON(map[string]any{"users": users})
}

// bindListUsersByRole: see "Alibaba Cloud documentation: ListUsersByRole". One member whose account
// was deleted breaks the whole call (terraform-provider-alicloud handles the message).
func bindListUsersByRole(r request) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		_, ro, refusal := t.role(r.role)
		if refusal != nil {
			return answer{}, refusal
		}
		if slices.ContainsFunc(ro.members, func(m string) bool { return t.s.tenant.dead[m] }) {
			return answer{}, refuse(http.StatusBadRequest, codeDeadMember, "baseId and tenantId do not match")
		}
		return answer{render: func() []byte { return renderUsers(ro.members) }}, nil
	}, nil
}

// bindUpdateUsersToRole: see "Alibaba Cloud documentation: UpdateUsersToRole".
func bindUpdateUsersToRole(r request) (operation, *problem) {
	body, p := parseObject(r.body, "add", "remove")
	if p != nil {
		return nil, p
	}
	add, p := body.texts("add")
	if p != nil {
		return nil, p
	}
	remove, p := body.texts("remove")
	if p != nil {
		return nil, p
	}
	if len(add)+len(remove) == 0 {
		return nil, refuse(http.StatusBadRequest, codeInvalidBody, "neither add nor remove is given")
	}
	return func(t *txn) (answer, *problem) { return success(), t.updateMembers(r.role, add, remove) }, nil
}

// bindListProjectUsers: see "Alibaba Cloud documentation: ListProjectUsers".
func bindListProjectUsers(request) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		p, refusal := t.project()
		if refusal != nil {
			return answer{}, refusal
		}
		names := slices.DeleteFunc(p.userNames(), func(name string) bool { return t.s.tenant.dead[name] })
		return answer{render: func() []byte { return renderUsers(names) }}, nil
	}, nil
}

type tenantUser struct {
	AccountID   string `json:"accountId"`
	AccountName string `json:"accountName"`
	AccountType string `json:"accountType"`
	DisplayName string `json:"displayName"`
	TenantID    string `json:"tenantId"`
}

type tenantUsers struct {
	Users      []tenantUser `json:"users"`
	TotalCount int          `json:"totalCount"`
	PageNumber int          `json:"pageNumber"`
	PageSize   int          `json:"pageSize"`
}

// maxPageSize is made up.
const maxPageSize = 100

// bindListUsers: see "Alibaba Cloud documentation: ListUsers".
func bindListUsers(r request) (operation, *problem) {
	number, p := pageParameter(r, "pageNumber", 1, 1<<20)
	if p != nil {
		return nil, p
	}
	size, p := pageParameter(r, "pageSize", 10, maxPageSize)
	if p != nil {
		return nil, p
	}
	return func(t *txn) (answer, *problem) {
		t.ran = true
		all := t.s.tenant.alive()
		from := min((number-1)*size, len(all))
		page := tenantUsers{
			Users: []tenantUser{}, TotalCount: len(all), PageNumber: number, PageSize: size,
		}
		for _, u := range all[from:min(from+size, len(all))] {
			page.Users = append(page.Users, u.forList(t.s.names))
		}
		return answer{render: func() []byte { return mustJSON(page) }}, nil
	}, nil
}

func pageParameter(r request, name string, unset, limit int) (int, *problem) {
	text := r.query.Get(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > limit {
		return 0, refuse(http.StatusBadRequest, codeInvalidBody, "invalid %s %q", name, text)
	}
	return n, nil
}
