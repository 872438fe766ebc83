package fakecloud

import (
	"maps"
	"slices"
	"strings"
)

// State is a snapshot of everything that the fake holds, sorted.
type State struct {
	Projects   []ProjectState `json:"projects"`
	Users      []UserState    `json:"users"`
	Identities []Identity     `json:"identities"`
}

// ProjectState is one project in a State.
type ProjectState struct {
	Name      string        `json:"name"`
	ThreeTier bool          `json:"threeTier"`
	Strict    bool          `json:"strict"`
	Users     []string      `json:"users"`
	Objects   []ObjectState `json:"objects"`
	Roles     []RoleState   `json:"roles"`
}

// ObjectState is one declared object in a State.
type ObjectState struct {
	Kind       string `json:"kind"`
	SchemaName string `json:"schemaName"`
	Name       string `json:"name"`
}

// RoleState is one role in a State, built-in ones included.
type RoleState struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Policy  string   `json:"policy,omitempty"`
	Members []string `json:"members"`
	Grants  []Grant  `json:"grants"`
}

// UserState is one account in a State.
type UserState struct {
	User
	Dead bool `json:"dead,omitempty"`
}

// State returns a snapshot. It never holds secrets.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := State{Projects: []ProjectState{}, Users: []UserState{}, Identities: []Identity{}}
	for _, name := range slices.Sorted(maps.Keys(s.projects)) {
		out.Projects = append(out.Projects, s.projects[name].state())
	}
	for _, u := range s.tenant.users {
		out.Users = append(out.Users, UserState{User: u, Dead: s.tenant.dead[u.Principal]})
	}
	slices.SortFunc(out.Users, func(a, b UserState) int { return strings.Compare(a.Principal, b.Principal) })
	for _, id := range slices.Sorted(maps.Keys(s.identities)) {
		known := s.identities[id]
		out.Identities = append(out.Identities, Identity{AccessKeyID: id, Denied: known.Denied})
	}
	return out
}

func (p *project) state() ProjectState {
	out := ProjectState{
		Name: p.name, ThreeTier: p.threeTier, Strict: p.strict, Users: append([]string{}, p.userNames()...),
		Objects: []ObjectState{}, Roles: []RoleState{},
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
	return out
}

// Stats counts what happened since the start, or since the journal was reset for the calls.
type Stats struct {
	// Calls per action.
	Calls map[string]int `json:"calls"`
	// Refused calls per access key with a limit.
	Refused     map[string]int `json:"refused"`
	MaxInFlight int            `json:"maxInFlight"`
	Violations  int            `json:"violations"`
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{
		Calls: map[string]int{}, Refused: map[string]int{}, MaxInFlight: s.maxFlight, Violations: len(s.violations),
	}
	for i := range s.journal.entries {
		out.Calls[s.journal.entries[i].Action]++
	}
	for id, b := range s.limits {
		out.Refused[id] = b.refused
	}
	return out
}
