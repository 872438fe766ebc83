// Package auditpage writes what the roles of a project give to whom as one HTML page, which needs nothing beside itself: principals x objects
// to look at, to filter and to print. It evaluates nothing. Whoever fills a Page has decided what is allowed, and through which grants.
//
// Names come from the cloud, where anybody with the right to make a role chooses them. They are text wherever the page shows them, and
// characters that cannot be seen, or that turn the direction of what follows, are shown by their code point, such as [U+202E].
package auditpage

import (
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
)

// Page is what an auditor looks at: what the roles of a project gave to whom at one moment.
type Page struct {
	Project, Connection, Endpoint string
	// Read is when the project was read. It is shown in UTC.
	Read time.Time
	// Version is that of the program.
	Version string
	// Objects are the columns and Principals the rows, in the order in which they are shown.
	Objects    []Object
	Principals []Principal
	// Profiles are what principals have. Those with the same sources share one, which keeps the page small.
	Profiles []Profile
	Roles    []Role
	// Grants are what gives or denies, also to nobody.
	Grants []Grant
	// Missing is what objects declare and the cloud lacks.
	Missing []Missing
	// Notes are sentences on what could not be seen.
	Notes []string
}

// Object is something that permissions are on. A name holds * where an ACL entry is for many.
type Object struct {
	// Kind is Table, Resource, Function, Package, Project, Instance, or another word.
	Kind string
	// Schema is "" for what is in none.
	Schema, Name string
}

// Principal is a user or another identity that can have roles.
type Principal struct {
	Name string
	// Profile is an index of Page.Profiles.
	Profile int
	Roles   []Membership
}

// Membership says that a principal has a role.
type Membership struct {
	// Role is an index of Page.Roles.
	Role  int
	State State
}

// Role is a role of the project.
type Role struct {
	Name, Type string
	// Manager is the namespace/name of the object that manages the role, "" if there is none.
	Manager string
	// Policy is the management policy of that object, such as Authoritative.
	Policy string
	// MembersUnknown says that the cloud did not tell who has the role.
	MembersUnknown bool
}

// Profile is what a principal has: cells in ascending order of their objects. Objects without a permission have no cell.
type Profile struct{ Cells []Cell }

// Cell is what a principal has on an object.
type Cell struct {
	// Object is an index of Page.Objects.
	Object  int
	Actions []Action
}

// Action is one action, and what came of it.
type Action struct {
	Name    string
	Verdict Verdict
	// Via are indexes of Page.Grants: those that led to the verdict.
	Via []int
}

// NoRole is the Grant.Role of what was given to a principal directly.
const NoRole = -1

// Grant is something that gives or denies.
type Grant struct {
	// Role is an index of Page.Roles, or NoRole.
	Role int
	// Source is what sort of a grant this is, in words that fit into a sentence: ACL entry, policy statement, built-in role, permission
	// request.
	Source string
	Effect Effect
	// Text is the grant as it was read: the ACL entry, or the statement's JSON.
	Text  string
	State State
	// Manager is the namespace/name of the object that manages the grant, "" if there is none.
	Manager string
	// Until is when the grant ends, in RFC 3339, "" if it does not.
	Until string
	// Unclear is why it cannot be told whether the grant applies, "" if it can.
	Unclear string
}

// Missing is something that an object declares and the cloud lacks.
type Missing struct {
	Role, What string
	// Manager is the namespace/name of the object.
	Manager string
}

// Effect is what a grant does.
type Effect = access.Effect

// State is what objects say of a grant or a membership.
type State = access.State

// Verdict is what came of an action.
type Verdict = access.Verdict

// Their values.
const (
	Allow = access.Allow
	Deny  = access.Deny

	Declared  = access.Declared
	Drift     = access.Drift
	Unmanaged = access.Unmanaged

	Allowed = access.Allowed
	Denied  = access.Denied
	Unclear = access.Unclear
)

// The page knows effects, states and verdicts by their place in these lists.
func effects() []Effect   { return []Effect{Allow, Deny} }
func states() []State     { return []State{Declared, Drift, Unmanaged} }
func verdicts() []Verdict { return []Verdict{Allowed, Denied, Unclear} }
