package maxcompute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// Role is a role of a project, as ListRoles reports it.
type Role struct {
	Name string `json:"name"`
	// Type is TypeResource or TypeAdmin.
	Type string `json:"type"`
}

// The types of a role.
const (
	TypeResource = "resource"
	TypeAdmin    = "admin"
)

// RoleDetails is a role with what else the list of roles has a place for. Whether the service always fills it in is not documented.
type RoleDetails struct {
	Role
	// ACL has all objects in the schema "default": the list does not tell schemas. It is nil if it cannot be read.
	ACL *acl.Set
	// Policy is the document as text.
	Policy string
}

// ListRoles returns all roles of a project. Vendor documentation: MaxCompute ListRoles. There is no call that gets one role, and
// none that pages.
func (c *Client) ListRoles(ctx context.Context, project string) ([]Role, error) {
	return listRoles(ctx, c, project, func(role *Role) *Role { return role })
}

// ListRoleDetails is ListRoles with all that the list tells.
func (c *Client) ListRoleDetails(ctx context.Context, project string) ([]RoleDetails, error) {
	type entry struct {
		Role
		ACL    map[string][]aclEntry `json:"acl"`
		Policy string                `json:"policy"`
	}
	list, err := listRoles(ctx, c, project, func(e *entry) *Role { return &e.Role })
	if err != nil {
		return nil, err
	}
	details := make([]RoleDetails, 0, len(list))
	for _, e := range list {
		d := RoleDetails{Role: e.Role, Policy: e.Policy}
		if set, err := readLists(listRolesOp(project), e.ACL, acl.Kinds); err == nil {
			d.ACL = &set
		}
		details = append(details, d)
	}
	return details, nil
}

func listRolesOp(project string) string { return "list the roles of project " + project }

// listRoles reads of each role what E has a place for.
func listRoles[E any](ctx context.Context, c *Client, project string, roleOf func(*E) *Role) ([]E, error) {
	var data struct {
		Roles *[]E `json:"roles"`
	}
	op := listRolesOp(project)
	err := c.do(ctx, call{action: "ListRoles", op: op, method: http.MethodGet, segments: []string{"projects", project, "roles"}, result: &data})
	if err != nil {
		return nil, projectMissing(err)
	}
	if data.Roles == nil {
		return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds no list of roles"}
	}
	for i := range *data.Roles {
		role := roleOf(&(*data.Roles)[i])
		if role.Name == "" {
			return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a role without a name"}
		}
		// A role without a type is of type resource, as the statement CREATE ROLE has it.
		role.Type = firstOf(strings.ToLower(role.Type), TypeResource)
	}
	return *data.Roles, nil
}

// projectMissing reads "not found", said of a list, as what it must be about: the project.
func projectMissing(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Code == cloud.NotFound {
		e.Code = cloud.ProjectNotFound
	}
	return err
}

// aclEntry is one entry of an ACL on the wire.
type aclEntry struct {
	Name       string   `json:"name"`
	SchemaName string   `json:"schemaName,omitempty"`
	Actions    []string `json:"actions,omitempty"`
}

// wireNames are the fields under which the OpenAPI lists the kinds.
var wireNames = map[acl.Kind]string{
	acl.Table: "table", acl.Resource: "resource", acl.Function: "function", acl.Package: "package", acl.Project: "project", acl.Instance: "instance",
}

// GetRoleACL returns the ACL of a role. It fails with cloud.NotFound if the service says that the role, or its project, does not
// exist. Vendor documentation: MaxCompute GetRoleAcl.
func (c *Client) GetRoleACL(ctx context.Context, project, role string) (acl.Set, error) {
	var data map[string][]aclEntry
	op := fmt.Sprintf("get the ACL of role %s in project %s", role, project)
	err := c.do(ctx, call{action: "GetRoleAcl", op: op, method: http.MethodGet, segments: []string{"projects", project, "roles", role, "roleAcl"}, result: &data})
	if err != nil {
		return acl.Set{}, err
	}
	return readLists(op, data, acl.Kinds)
}

// readLists reads the entries of some kinds; a kind that is not listed has none. Lists of which
// this client knows none say nothing about those that it looks for.
func readLists(op string, lists map[string][]aclEntry, kinds []acl.Kind) (acl.Set, error) {
	folded := make(map[string][]aclEntry, len(lists))
	known := false
	for key, list := range lists {
		key = strings.ToLower(key)
		folded[key] = list
		known = known || slices.ContainsFunc(acl.Kinds, func(kind acl.Kind) bool { return wireNames[kind] == key })
	}
	if len(lists) > 0 && !known {
		names := strings.Join(slices.Sorted(maps.Keys(lists)), ", ")
		return acl.Set{}, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: fmt.Sprintf("the answer holds no list that this operator knows, but %.200q", names)}
	}
	var grants []acl.Grant
	for _, kind := range kinds {
		for _, entry := range folded[wireNames[kind]] {
			// A documented sample has a line break at the end of a name.
			name := strings.TrimSpace(entry.Name)
			if name == "" || entry.Actions == nil {
				return acl.Set{}, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a grant without a name or actions"}
			}
			grants = append(grants, acl.Grant{Kind: kind, Schema: entry.SchemaName, Name: name, Actions: entry.Actions})
		}
	}
	return acl.NewSet(grants...), nil
}

// writeLists spells an ACL as request bodies do, which know no schema.
func writeLists(set acl.Set) map[string][]aclEntry {
	lists := map[string][]aclEntry{}
	for _, grant := range set.Grants() {
		wire := wireNames[grant.Kind]
		lists[wire] = append(lists[wire], aclEntry{Name: grant.Name, Actions: grant.Actions})
	}
	return lists
}

// Expressible splits an ACL into what the body of CreateRole can say and what needs statements: the body knows no schema.
func Expressible(set acl.Set) (body, rest acl.Set) {
	var inBody, other []acl.Grant
	for _, grant := range set.Grants() {
		if isDefault(grant.Schema) {
			inBody = append(inBody, grant)
		} else {
			other = append(other, grant)
		}
	}
	return acl.NewSet(inBody...), acl.NewSet(other...)
}

// CreateRole creates a role of a type, TypeResource or TypeAdmin in any case. One of type resource gets an ACL, which must be
// Expressible; one of type admin has none. It is not idempotent: of a name that is taken, the service speaks as of an error. Vendor
// documentation: MaxCompute CreateRole.
func (c *Client) CreateRole(ctx context.Context, project, role, roleType string, set acl.Set) error {
	created := Role{Name: role, Type: strings.ToLower(roleType)}
	switch {
	case created.Type != TypeResource && created.Type != TypeAdmin:
		return invalid("%q cannot be the type of a role", roleType)
	case created.Type == TypeAdmin && !set.Empty():
		return invalid("role %s of type admin cannot have an ACL", role)
	}
	body := map[string]any{"name": created.Name, "type": created.Type}
	if !set.Empty() {
		body["acl"] = writeLists(set)
	}
	err := c.do(ctx, call{
		action: "CreateRole", op: fmt.Sprintf("create role %s in project %s", role, project), method: http.MethodPost,
		segments: []string{"projects", project, "roles"}, body: body,
	})
	if err != nil {
		if !cloud.Refused(err) || cloud.CodeOf(err) == cloud.AlreadyExists {
			// The role may exist by now, by this call or by somebody else's.
			c.roles.doubt(ctx, project)
		}
		return err
	}
	c.roles.follow(ctx, project, func(list roleList) { list[strings.ToLower(role)] = created })
	return nil
}

// DeleteRole drops a role that has no members left. Vendor documentation: MaxCompute DeleteRole.
func (c *Client) DeleteRole(ctx context.Context, project, role string) error {
	err := c.do(ctx, call{
		action: "DeleteRole", op: fmt.Sprintf("delete role %s in project %s", role, project), method: http.MethodDelete,
		segments: []string{"projects", project, "roles", role},
	})
	if err != nil {
		c.roles.doubt(ctx, project)
		return err
	}
	c.roles.follow(ctx, project, func(list roleList) { delete(list, strings.ToLower(role)) })
	return nil
}

// CheckIdentity makes the cheapest read that needs no project: one page of one user of the tenant. It tells whether the endpoint
// answers and the credentials are accepted. Vendor documentation: MaxCompute ListUsers.
func (c *Client) CheckIdentity(ctx context.Context) error {
	return c.do(ctx, call{
		action: "ListUsers", op: "list users, to check the identity", method: http.MethodGet, segments: []string{"users"},
		query: map[string]string{"pageNumber": "1", "pageSize": "1"},
	})
}
