package maxcompute

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// UserGrants are the ACL entries in a project that name a user, and not a role that the user has.
type UserGrants struct {
	project string
	entries []userEntry
	// unread are the parts of the answer that could not be read, and may hold further entries.
	unread []string
}

// userEntry is what an entry allows on one object.
type userEntry struct {
	Resource oneOrMore `json:"Resource"`
	Action   oneOrMore `json:"Action"`
	// Effect is empty for Allow.
	Effect string `json:"Effect"`
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

// UnmarshalJSON implements json.Unmarshaler.
func (o *oneOrMore) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(o))
}

// otherGrants are the parts of the answer, in lower case, that are about other things than ACL
// entries: nothing in them was granted to the user on an object, or can be revoked there.
var otherGrants = []string{"roles", "superprivileges", "creator", "policy"}

// GrantsOfUser returns the ACL entries of an account, a RAM user or a RAM role in a project. An
// answer that cannot be read is an error, and never an empty list; see also IsNotInProject. Vendor
// documentation: MaxCompute SHOW GRANTS.
func (c *Client) GrantsOfUser(ctx context.Context, project, principal string) (UserGrants, error) {
	if err := cmp.Or(checkProjects(project), checkPrincipal(principal)); err != nil {
		return UserGrants{}, err
	}
	grants := UserGrants{project: project}
	s := statement{
		op: fmt.Sprintf("show the grants of user %s in project %s", principal, project), project: project,
		query: fmt.Sprintf("SHOW GRANTS FOR %s;", principal),
	}
	s.read = func(result string, a *openapi.Answer) error { return grants.read(s.op, result, a) }
	if err := c.run(ctx, s); err != nil {
		return UserGrants{}, notInProject(err)
	}
	return grants, nil
}

func (g *UserGrants) read(op, result string, a *openapi.Answer) error {
	parts, ok := partsOf(result, maxWrapped)
	if !ok {
		v := verdictOf(result)
		if v.done {
			v.message = "the answer holds no list of grants"
		}
		return v.failure(op, a)
	}
	g.entries, g.unread = nil, nil
	for name, raw := range parts {
		if slices.Contains(otherGrants, name) {
			continue
		}
		var holders map[string][]userEntry
		err := json.Unmarshal(raw, &holders)
		if string(raw) == "[]" {
			err = nil
		}
		own := ownEntries(holders)
		incomplete := slices.ContainsFunc(own, func(e userEntry) bool { return len(e.Resource) == 0 || len(e.Action) == 0 })
		switch {
		case err == nil && !incomplete:
			g.entries = append(g.entries, own...)
		case name == "acl":
			return &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a list of grants that cannot be read"}
		default:
			g.unread = append(g.unread, string(raw))
		}
	}
	return nil
}

// partsOf returns the members of the object that SHOW GRANTS answers with, by their names in lower
// case. It is one if it names the roles of the user or their ACL, and no error.
func partsOf(result string, layers int) (parts map[string]json.RawMessage, ok bool) {
	var text string
	if layers > 0 && json.Unmarshal([]byte(result), &text) == nil {
		return partsOf(text, layers-1)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(result), &members) != nil {
		return nil, false
	}
	if inner, wrapped := unwrap(result); wrapped && layers > 0 {
		return partsOf(inner, layers-1)
	}
	parts = make(map[string]json.RawMessage, len(members))
	for name, raw := range members {
		parts[strings.ToLower(name)] = raw
	}
	isError := slices.ContainsFunc([]string{"error", "code", "errorcode"}, func(name string) bool { return parts[name] != nil })
	if isError || len(parts) < len(members) {
		return nil, false
	}
	return parts, parts["acl"] != nil || parts["roles"] != nil
}

// ownEntries leaves out what the user has by roles.
func ownEntries(holders map[string][]userEntry) []userEntry {
	var own []userEntry
	for holder, entries := range holders {
		if !strings.HasPrefix(strings.ToLower(holder), "role/") {
			own = append(own, entries...)
		}
	}
	return own
}

// Held returns those of some actions on a table, or on columns of it, that an entry of the user's
// own allows. An entry with a pattern for the names of tables does not count: it is another grant,
// which no REVOKE on the table takes away.
func (g UserGrants) Held(schema, table string, actions []string) []string {
	if slices.ContainsFunc(g.unread, func(text string) bool { return mentions(text, table) }) {
		return slices.Clone(actions)
	}
	return slices.DeleteFunc(slices.Clone(actions), func(action string) bool {
		return !slices.ContainsFunc(g.entries, func(e userEntry) bool {
			return !strings.EqualFold(e.Effect, "Deny") && e.allows(action) &&
				slices.ContainsFunc(e.Resource, func(resource string) bool { return g.isAbout(resource, schema, table) })
		})
	})
}

// allows reports whether an entry has an action, by its name or by one that stands for it.
func (e userEntry) allows(action string) bool {
	return slices.ContainsFunc(e.Action, func(have string) bool {
		have = strings.ToLower(have)
		have = strings.TrimPrefix(have, "odps:")
		return strings.Contains(have, "*") || strings.EqualFold(have, action) || have == "all" && acl.Table.InAll(action)
	})
}

// isAbout reports whether a resource, such as acs:odps:*:projects/p/schemas/s/tables/t/column, is
// a table or a part of it. One that leaves out the project is one of this project, and one that
// leaves out the schema one of the default schema. One that is no path at all may be the table if
// it names it.
func (g UserGrants) isAbout(resource, schema, table string) bool {
	path := resource[strings.LastIndex(resource, ":")+1:]
	names := map[string]string{}
	for kind, rest := "", path; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if kind == "" {
			kind = strings.ToLower(segment)
			continue
		}
		if _, again := names[kind]; !again {
			names[kind] = segment
		}
		kind = ""
	}
	if len(names) == 0 {
		return mentions(resource, table)
	}
	return strings.EqualFold(names["tables"], table) && strings.EqualFold(firstOf(names["projects"], g.project), g.project) &&
		strings.EqualFold(firstOf(names["schemas"], acl.DefaultSchema), firstOf(schema, acl.DefaultSchema))
}

// errNotInProject marks the refusal of a statement because a user is not in the project.
var errNotInProject = errors.New("the user is not in the project")

// IsNotInProject reports whether the service refused a statement because the user that it names is
// not in the project. The service keeps what such a user was granted: it counts again once the
// user is added again.
func IsNotInProject(err error) bool { return errors.Is(err, errNotInProject) }

// notInProject reads "not found", said of a statement about a user alone.
func notInProject(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Code == cloud.NotFound {
		e.Code, e.Err = cloud.RemoteRejected, errNotInProject
	}
	return err
}

var (
	aboutUser  = regexp.MustCompile(`(?i)\b(user|account|member|principal)\b|\b(ram|aliyun)\$|\bnot in (the |this )?project\b`)
	aboutTable = regexp.MustCompile(`(?i)\btable\b`)
)

// nothingToRevoke reads "not found", said of a statement that takes something on a table from a
// user. Only of the table it is an absence: with a table, what was granted on it ends. Of the user
// it is a refusal. Otherwise nothing may be concluded.
func nothingToRevoke(err error) error {
	e, ok := errors.AsType[*cloud.Error](err)
	switch {
	case !ok || e.Code != cloud.NotFound:
	case aboutUser.MatchString(e.Message):
		return notInProject(err)
	case !aboutTable.MatchString(e.Message):
		e.Code = cloud.UnexpectedResponse
	}
	return err
}
