package fakecloud

import "slices"

// The methods in this file put into the state what no call could: the service is older than its rules, and may come to know more than the
// documentation says. Nothing is checked but that a grant's kind is known. AddRawMember is another of them.

// CreateRawRole creates a role of any name and type.
func (s *Server) CreateRawRole(projectName, name, typ string) error {
	return s.behind(projectName, func(t *txn) *problem {
		p, refusal := t.project()
		if refusal == nil {
			t.put(p, fold(name), &role{name: name, typ: typ})
		}
		return refusal
	})
}

// GrantRaw gives a role permissions on an object, whatever they and it are called. It replaces those that the role has on it.
func (s *Server) GrantRaw(projectName, roleName string, grants ...Grant) error {
	return s.behind(projectName, func(t *txn) *problem {
		p, r, refusal := t.role(roleName)
		if refusal != nil {
			return refusal
		}
		acl, refusal := insertRaw(r.acl, grants)
		if refusal == nil {
			t.put(p, r.name, r.withACL(acl))
		}
		return refusal
	})
}

// CreateRawPackage makes a package of any name, with any contents, that any projects may install.
func (s *Server) CreateRawPackage(projectName, name string, contents []Grant, allowed ...AllowedProject) error {
	return s.behind(projectName, func(t *txn) *problem {
		p, refusal := t.project()
		if refusal != nil {
			return refusal
		}
		resources, refusal := insertRaw(nil, contents)
		if refusal == nil {
			t.putPackage(p, fold(name), &pkg{name: name, since: t.s.now(), resources: resources, allowed: slices.SortedFunc(slices.Values(allowed), compareAllowed)})
		}
		return refusal
	})
}

// InstallRaw installs a package that need not exist, with any status.
func (s *Server) InstallRaw(projectName, sourceProject, packageName, status string) error {
	return s.behind(projectName, func(t *txn) *problem {
		p, refusal := t.project()
		if refusal == nil {
			k := &pkg{name: packageName, source: sourceProject, status: status, since: t.s.now()}
			t.putPackage(p, fold(k.key()), k)
		}
		return refusal
	})
}

// insertRaw puts grants into a list in its order, in place of those on the same objects.
func insertRaw(acl, grants []Grant) ([]Grant, *problem) {
	acl = slices.Clone(acl)
	for _, g := range grants {
		if kindByName(g.Kind) == nil {
			return nil, invalid("invalid object type '%s'", g.Kind)
		}
		if g.SchemaName == "" {
			g.SchemaName = defaultSchema
		}
		i, found := slices.BinarySearchFunc(acl, g, compareObjects)
		if found {
			acl[i] = g
		} else {
			acl = slices.Insert(acl, i, g)
		}
	}
	return acl, nil
}
