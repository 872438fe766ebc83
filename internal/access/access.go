// Package access tells who may do what in a MaxCompute project: it evaluates what the roles of the project give and deny, as it was read
// at one moment. What cannot be told from that is Unclear, with the reason, and never guessed. It is pure: no clock, no client.
//
// Sources: the vendor's pages "Role planning" (built-in roles; roles of type admin hold no permissions on objects), "MaxCompute
// permissions" (actions, names of resources in policies) and "Authorization best practices" (Deny before Allow, for all but the owner of
// the project and Super_Administrator).
package access

import (
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// Effect is what a Source does.
type Effect string

// The effects. Any other one, which a policy may spell, could be either.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// State is how something that is there stands to the objects that manage it.
type State string

// The states.
const (
	// Declared is in the spec of the object that manages or observes the role.
	Declared State = "Declared"
	// Drift is not in that spec although the object manages all that there is.
	Drift State = "Drift"
	// Unmanaged is what no object speaks of.
	Unmanaged State = "Unmanaged"
)

// Verdict is what somebody may do.
type Verdict string

// The verdicts.
const (
	Allowed Verdict = "Allowed"
	// Denied is what something gives, and something else denies.
	Denied  Verdict = "Denied"
	Unclear Verdict = "Unclear"
)

// Project is what there is to know of a project.
type Project struct {
	Name  string
	Roles []*Role
	// Installed are the packages of other projects, Created those of this one.
	Installed []Installed
	Created   []Created
	Requests  []*Request
}

// Role is a role of the project, with what it gives. Make it with NewRole.
type Role struct {
	Name string
	// Admin is set on roles that manage the project.
	Admin  bool
	ACL    acl.Set
	Policy acl.Document
	// Declaration is the object that manages the role, nil if there is none.
	Declaration *Declaration

	members []member
	known   bool

	sources  []*Source
	byObject map[Object][]*Source
	broad    []*Source
}

// Declaration is an object that says what a role should have. What is nil is not managed.
type Declaration struct {
	// Object is its namespace and name.
	Object  string
	ACL     *acl.Set
	Policy  *acl.Document
	Members *acl.Members
	// ManagementPolicy is Authoritative, Additive or Observe.
	ManagementPolicy string
}

// additive tells that what is not declared is none of the object's business.
func (d *Declaration) additive() bool { return d.ManagementPolicy == "Additive" }

// Installed is a package of another project that is installed in this one: who may read it has what it holds.
type Installed struct {
	SourceProject, Name string
	Contents            acl.Set
}

// Created is a package of the project, and which projects may install it.
type Created struct {
	Name     string
	Contents acl.Set
	Shares   acl.Sharing
}

// Request is a permission request that was granted, to accounts and past all roles. Make it with NewRequest.
type Request struct {
	// Object is the namespace and name of the object that made it.
	Object string
	// Accounts are principals or, where the name is not known, ids.
	Accounts []string

	sources []*Source
}

// Source is something that gives or denies actions.
type Source struct {
	// Role is nil for a request.
	Role    *Role
	Request *Request
	Effect  Effect
	// Text is the ACL entry, or the statement of the policy, or what else gives or denies.
	Text  string
	State State
	// Until is when it ends, as text; empty if it does not or nobody says so.
	Until string

	// One of them says what it is about.
	entry   acl.Grant
	on      Object // of the entry
	scope   *acl.Scope
	builtIn bool
	doubt   string
}

// Object is the object that manages the source, its namespace and name; empty if there is none.
func (s *Source) Object() string {
	switch {
	case s.Request != nil:
		return s.Request.Object
	case s.Role.Declaration != nil && s.State != Unmanaged:
		return s.Role.Declaration.Object
	}
	return ""
}

// Doubt is why it cannot be told whether the source applies to whatever it is about; empty if that can be told.
func (s *Source) Doubt() string {
	if s.doubt == "" && s.scope != nil {
		return s.scope.Doubt()
	}
	return s.doubt
}

// Sort is what sort of a source it is, in words.
func (s *Source) Sort() string {
	switch {
	case s.Request != nil:
		return "permission request"
	case s.builtIn:
		return "built-in role"
	case s.scope != nil:
		return "policy statement"
	}
	return "ACL entry"
}

// exempts tells of what no Deny takes away.
func (s *Source) exempts() bool {
	return s.builtIn && strings.EqualFold(s.Role.Name, superAdministrator)
}

// The roles that every project has.
const (
	superAdministrator = "super_administrator"
	admin              = "admin"
)

// member is a principal that has a role.
type member struct {
	key, name string
	state     State
}

// Key is the same for all spellings of a principal. What is no principal is its own key, in lower case.
func Key(principal string) string {
	if p, err := acl.ParsePrincipal(principal); err == nil {
		return p.Key()
	}
	return strings.ToLower(principal)
}

// Sources are all that the role gives and denies.
func (r *Role) Sources() []*Source { return r.sources }

// SetMembers says who has the role.
func (r *Role) SetMembers(members acl.Members) {
	r.known, r.members = true, nil
	for _, name := range slices.Concat(members.List(), members.Unknown()) {
		r.members = append(r.members, member{key: Key(name), name: name, state: r.membership(name)})
	}
}

// MembersKnown tells whether SetMembers was called.
func (r *Role) MembersKnown() bool { return r.known }

func (r *Role) membership(name string) State {
	d := r.Declaration
	if d == nil || d.Members == nil {
		return Unmanaged
	}
	return d.state(d.Members.Contains(acl.NewMembers(name)) && !acl.NewMembers(name).Empty())
}

// state is that of something in a part of the role which the object manages.
func (d *Declaration) state(declared bool) State {
	switch {
	case declared:
		return Declared
	case d.additive():
		return Unmanaged
	}
	return Drift
}
