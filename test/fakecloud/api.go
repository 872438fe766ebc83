package fakecloud

import (
	"errors"
	"fmt"
	"slices"
)

// The methods in this file look at the state and change it behind the API's back: without
// signatures, faults, latency and journal. Stale reads see the changes like any other.

// behind runs a change of one project outside the API.
func (s *Server) behind(projectName string, change func(*txn) *problem) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.begin(&call{service: "maxcompute", project: fold(projectName)})
	t.seq, t.trusted = s.journal.last, true
	if p := change(t); p != nil {
		return p
	}
	return nil
}

// Validate reports a project that can't be.
func (p Project) Validate() error {
	if p.Name == "" {
		return errors.New("the project has no name")
	}
	for _, o := range p.Objects {
		if kindByName(o.Kind) == nil {
			return fmt.Errorf("unknown object kind %q", o.Kind)
		}
	}
	if _, refusal := principals(p.Users); refusal != nil {
		return refusal
	}
	return p.PolicyEcho.validate()
}

// AddProject adds a project, or changes the settings of one that is there and adds to its users
// and objects. It panics on a project that is not valid: that is a mistake in the test.
func (s *Server) AddProject(p Project) {
	if err := p.Validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	users, _ := principals(p.Users) //nolint:errcheck // Validate has looked at them
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.projects[fold(p.Name)]
	if have == nil {
		have = newProject(p)
		s.projects[have.name] = have
	}
	have.threeTier, have.strict = p.ThreeTier, p.Strict
	s.setEcho(have, p.PolicyEcho)
	for _, u := range users {
		have.users[u] = struct{}{}
		s.tenant.add(u)
	}
	for _, o := range p.Objects {
		have.objects[objectOf(o)] = struct{}{}
	}
}

// SetExists changes how the service refuses to create or install what exists.
func (s *Server) SetExists(spelling ExistsSpelling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exists = spelling
}

// RemoveProject removes a project with everything in it. What others have installed of it stays, with
// another status.
func (s *Server) RemoveProject(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projects[fold(name)]
	if p == nil {
		return
	}
	delete(s.projects, p.name)
	s.orders.forget(func(g TablePermission) bool { return g.Project == p.name })
	t := s.begin(&call{project: p.name})
	t.seq = s.journal.last
	for _, k := range p.packagesAt(0) {
		t.refreshStatus(p.name, k.name)
	}
}

// SetStrict switches the checks for objects and principals of a project.
func (s *Server) SetStrict(projectName string, strict bool) error {
	return s.behind(projectName, func(t *txn) *problem {
		p, refusal := t.project()
		if refusal == nil {
			p.strict = strict
		}
		return refusal
	})
}

// CreateRole creates a role; typ is resource or admin, and resource if it is empty.
func (s *Server) CreateRole(projectName, name, typ string) error {
	return s.behind(projectName, func(t *txn) *problem {
		return t.createRole(newRole{name: name, typ: typ})
	})
}

// DropRole removes a role, whoever holds it.
func (s *Server) DropRole(projectName, name string) error {
	return s.behind(projectName, func(t *txn) *problem {
		p, r, refusal := t.role(name)
		if refusal == nil {
			t.put(p, r.name, nil)
		}
		return refusal
	})
}

// Grant grants something to a role.
func (s *Server) Grant(projectName, roleName string, g Grant) error {
	return s.behind(projectName, func(t *txn) *problem { return t.grant(roleName, g) })
}

// Revoke takes something from a role.
func (s *Server) Revoke(projectName, roleName string, g Grant) error {
	return s.behind(projectName, func(t *txn) *problem { return t.revoke(roleName, g) })
}

// AddMembers gives a role to principals.
func (s *Server) AddMembers(projectName, roleName string, principals ...string) error {
	return s.behind(projectName, func(t *txn) *problem { return t.updateMembers(roleName, principals, nil) })
}

// AddRawMember puts a name into a role as it is, whatever it looks like: the service knows more
// spellings than a client does.
func (s *Server) AddRawMember(projectName, roleName, name string) error {
	return s.behind(projectName, func(t *txn) *problem {
		p, r, refusal := t.role(roleName)
		if refusal != nil {
			return refusal
		}
		if i, held := slices.BinarySearch(r.members, name); !held {
			t.put(p, r.name, r.withMembers(slices.Insert(slices.Clone(r.members), i, name)))
		}
		return nil
	})
}

// RemoveMembers takes a role from principals.
func (s *Server) RemoveMembers(projectName, roleName string, principals ...string) error {
	return s.behind(projectName, func(t *txn) *problem { return t.updateMembers(roleName, nil, principals) })
}

// look returns a role as it is now, or nil.
func (s *Server) look(projectName, roleName string) *role {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.projects[fold(projectName)]; p != nil {
		return p.roles[fold(roleName)]
	}
	return nil
}

// RoleExists tells whether a role is there.
func (s *Server) RoleExists(projectName, roleName string) bool {
	return s.look(projectName, roleName) != nil
}

// RoleType returns resource or admin, or "" if the role is not there.
func (s *Server) RoleType(projectName, roleName string) string {
	if r := s.look(projectName, roleName); r != nil {
		return r.typ
	}
	return ""
}

// RoleGrants returns what a role may do, sorted; nil if the role is not there.
func (s *Server) RoleGrants(projectName, roleName string) []Grant {
	if r := s.look(projectName, roleName); r != nil {
		return cloneGrants(r.acl)
	}
	return nil
}

// Members returns who holds a role, sorted; nil if the role is not there.
func (s *Server) Members(projectName, roleName string) []string {
	if r := s.look(projectName, roleName); r != nil {
		return slices.Clone(r.members)
	}
	return nil
}

// Roles returns the names of a project's roles, sorted, without the built-in ones.
func (s *Server) Roles(projectName string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projects[fold(projectName)]
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.sortedNames()), func(name string) bool {
		return slices.Contains(builtInRoles, name)
	})
}

// AddUser makes an account known to the tenant.
func (s *Server) AddUser(u User) error {
	folded, refusal := principal(u.Principal)
	if refusal != nil {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenant.add(folded)
	if u.AccountID != "" {
		s.tenant.users[s.tenant.find(folded)].AccountID = u.AccountID
	}
	return nil
}

// KillUser deletes the account behind a principal: roles go on holding it, and can't be listed.
func (s *Server) KillUser(name string) error { return s.setDead(name, true) }

// ReviveUser undoes KillUser.
func (s *Server) ReviveUser(name string) error { return s.setDead(name, false) }

func (s *Server) setDead(name string, dead bool) error {
	folded, refusal := principal(name)
	if refusal != nil {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tenant.dead == nil {
		s.tenant.dead = map[string]bool{}
	}
	s.tenant.dead[folded] = dead
	return nil
}

// DeclareObject makes an object exist in a project, as strict projects demand before a grant.
func (s *Server) DeclareObject(projectName, kind, schemaName, name string) error {
	return s.object(projectName, kind, schemaName, name, func(_ *txn, p *project, o object) {
		p.objects[o] = struct{}{}
	})
}

// DropObject removes an object and silently every grant on it and its entries in packages, in strict
// and other projects.
func (s *Server) DropObject(projectName, kind, schemaName, name string) error {
	return s.object(projectName, kind, schemaName, name, (*txn).dropObject)
}

func (s *Server) object(projectName, kind, schemaName, name string, do func(*txn, *project, object)) error {
	if kindByName(kind) == nil {
		return fmt.Errorf("unknown object kind %q", kind)
	}
	return s.behind(projectName, func(t *txn) *problem {
		p, refusal := t.project()
		if refusal == nil {
			do(t, p, objectOf(Grant{Kind: kind, SchemaName: schemaName, Name: name}))
		}
		return refusal
	})
}

// AddIdentity adds or replaces an access key.
func (s *Server) AddIdentity(i Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identities[i.AccessKeyID] = &keyholder{
		Identity: i, rules: rules{denied: i.Denied, superAdministrator: i.SuperAdministrator},
	}
}

// RemoveIdentity makes an access key unknown.
func (s *Server) RemoveIdentity(accessKeyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.identities, accessKeyID)
}
