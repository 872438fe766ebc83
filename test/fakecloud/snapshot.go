package fakecloud

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// State is a snapshot of everything that the fake holds, sorted.
type State struct {
	Projects   []ProjectState  `json:"projects"`
	Users      []UserState     `json:"users"`
	Identities []IdentityState `json:"identities"`
	RAMRoles   []RAMRoleState  `json:"ramRoles"`
	Sessions   []Session       `json:"sessions"`
	Arrears    bool            `json:"arrears,omitempty"`
	PolicyEcho PolicyEcho      `json:"policyEcho,omitempty"`
	Packages   PackageStyle    `json:"packages"`
	// Orders are the permission requests, TablePermissions what is granted now because of them.
	Orders           []Order           `json:"orders"`
	TablePermissions []TablePermission `json:"tablePermissions"`
	OrderStyle       OrderStyle        `json:"orderStyle"`
	Insight          InsightState      `json:"insight"`
}

// ProjectState is one project in a State.
type ProjectState struct {
	Name      string `json:"name"`
	ThreeTier bool   `json:"threeTier"`
	Strict    bool   `json:"strict"`
	// PolicyEcho is the project's own; empty if it goes by the server's.
	PolicyEcho PolicyEcho    `json:"policyEcho,omitempty"`
	Users      []string      `json:"users"`
	Objects    []ObjectState `json:"objects"`
	// Tables are those of the objects that were declared with their columns.
	Tables []Table     `json:"tables"`
	Roles  []RoleState `json:"roles"`
	// Packages are those that the project made, Installed those of others.
	Packages  []PackageState `json:"packages"`
	Installed []Installation `json:"installed"`
}

// ObjectState is one declared object in a State.
type ObjectState struct {
	Kind       string `json:"kind"`
	SchemaName string `json:"schemaName"`
	Name       string `json:"name"`
}

// RoleState is one role in a State, built-in ones included. Policy is the document as it was written,
// whatever readers are shown.
type RoleState struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Policy  string   `json:"policy,omitempty"`
	Members []string `json:"members"`
	Grants  []Grant  `json:"grants"`
}

// PackageState is one package in a State.
type PackageState struct {
	Name       string           `json:"name"`
	CreateTime time.Time        `json:"createTime"`
	Grants     []Grant          `json:"grants"`
	Allowed    []AllowedProject `json:"allowed"`
}

// UserState is one account in a State.
type UserState struct {
	User
	Dead bool `json:"dead,omitempty"`
}

// IdentityState is one access key in a State.
type IdentityState struct {
	Identity
	DeniedActions  map[string]string `json:"deniedActions,omitempty"`
	DeniedProjects map[string]string `json:"deniedProjects,omitempty"`
}

// RAMRoleState is one RAM role in a State.
type RAMRoleState struct {
	RAMRole
	MaxDuration    string            `json:"maxDuration"`
	Denied         string            `json:"denied,omitempty"`
	DeniedActions  map[string]string `json:"deniedActions,omitempty"`
	DeniedProjects map[string]string `json:"deniedProjects,omitempty"`
}

// State returns a snapshot. It never holds secrets.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := State{
		Projects: []ProjectState{}, Users: []UserState{}, Identities: []IdentityState{}, RAMRoles: []RAMRoleState{},
		Sessions: s.sessionList(), Arrears: s.arrears, PolicyEcho: s.policyEcho, Packages: s.packages,
		Orders: s.orders.list(), TablePermissions: s.permissions(func(TablePermission) bool { return true }), OrderStyle: s.orders.style,
		Insight: s.insight.state(),
	}
	for _, name := range slices.Sorted(maps.Keys(s.projects)) {
		out.Projects = append(out.Projects, s.projects[name].state())
	}
	for _, u := range s.tenant.users {
		out.Users = append(out.Users, UserState{User: u, Dead: s.tenant.dead[u.Principal]})
	}
	slices.SortFunc(out.Users, func(a, b UserState) int { return strings.Compare(a.Principal, b.Principal) })
	for _, id := range slices.Sorted(maps.Keys(s.identities)) {
		out.Identities = append(out.Identities, s.identities[id].state())
	}
	for _, arn := range slices.Sorted(maps.Keys(s.ramRoles)) {
		out.RAMRoles = append(out.RAMRoles, s.ramRoles[arn].state())
	}
	return out
}

func (k *keyholder) state() IdentityState {
	return IdentityState{
		Identity: Identity{
			AccessKeyID: k.AccessKeyID, Denied: k.rules.denied, SuperAdministrator: k.rules.superAdministrator,
		},
		DeniedActions: maps.Clone(k.rules.actions), DeniedProjects: maps.Clone(k.rules.projects),
	}
}

func (r *ramRole) state() RAMRoleState {
	out := RAMRoleState{
		RAMRole: r.RAMRole, MaxDuration: cmp.Or(r.MaxDuration, defaultSession).String(), Denied: r.rules.denied,
		DeniedActions: maps.Clone(r.rules.actions), DeniedProjects: maps.Clone(r.rules.projects),
	}
	out.SuperAdministrator = r.rules.superAdministrator
	return out
}

func (p *project) state() ProjectState {
	out := ProjectState{
		Name: p.name, ThreeTier: p.threeTier, Strict: p.strict, PolicyEcho: p.echo, Users: append([]string{}, p.userNames()...),
		Objects: []ObjectState{}, Tables: p.tableList(), Roles: []RoleState{}, Packages: []PackageState{}, Installed: p.installations(),
	}
	for o := range p.objects {
		out.Objects = append(out.Objects, ObjectState{Kind: o.kind, SchemaName: o.schema, Name: o.name})
	}
	slices.SortFunc(out.Objects, func(a, b ObjectState) int {
		return strings.Compare(a.Kind+"/"+a.SchemaName+"/"+a.Name, b.Kind+"/"+b.SchemaName+"/"+b.Name)
	})
	for _, name := range p.sortedNames() {
		r := p.roles[name]
		out.Roles = append(out.Roles, RoleState{
			Name: r.name, Type: r.typ, Policy: r.policy, Members: append([]string{}, r.members...), Grants: cloneGrants(r.acl),
		})
	}
	for _, k := range p.packagesAt(0) {
		if k.source == "" {
			out.Packages = append(out.Packages, PackageState{
				Name: k.name, CreateTime: k.since, Grants: cloneGrants(k.resources), Allowed: append([]AllowedProject{}, k.allowed...),
			})
		}
	}
	return out
}

// Stats counts what happened since the start, or since the journal was reset for the calls.
type Stats struct {
	// Calls per action.
	Calls map[string]int `json:"calls"`
	// Refused and accepted calls per access key or RAM role with a limit.
	Refused     map[string]int `json:"refused"`
	Accepted    map[string]int `json:"accepted"`
	MaxInFlight int            `json:"maxInFlight"`
	Violations  int            `json:"violations"`
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{
		Calls: map[string]int{}, Refused: map[string]int{}, Accepted: map[string]int{},
		MaxInFlight: s.maxFlight, Violations: len(s.violations),
	}
	for i := range s.journal.entries {
		out.Calls[s.journal.entries[i].Action]++
	}
	for id, b := range s.limits {
		out.Refused[id], out.Accepted[id] = b.refused, b.accepted
	}
	return out
}
