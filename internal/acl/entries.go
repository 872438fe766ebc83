package acl

import "maps"

// Contents is what closes the difference between two sets where an object can be added and removed as a whole only, as in a package: its
// actions cannot be changed in place.
type Contents struct {
	// Add and Remove are the objects that only one of the sets has.
	Add, Remove Set
	// Replace are the objects whose actions differ, ordered by kind, schema and name.
	Replace []Replacement
}

// Replacement is an object that has to be removed and added again.
type Replacement struct {
	From, To Grant
}

// DiffContents returns the change that turns have into want.
func DiffContents(want, have Set) Contents {
	c := Contents{Add: want.Absent(have), Remove: have.Absent(want)}
	missing := want.Minus(have).Union(have.Minus(want)).Absent(c.Add).Absent(c.Remove)
	for _, g := range missing.Grants() {
		k := keyOf(g)
		to := want.grants[k]
		// As the service spells it: it may not find it by another name.
		to.Name, to.Schema = have.grants[k].Name, have.grants[k].Schema
		c.Replace = append(c.Replace, Replacement{From: have.grants[k], To: to})
	}
	return c
}

// Absent returns the entries of s whose objects t does not have at all.
func (s Set) Absent(t Set) Set {
	out := Set{grants: maps.Clone(s.grants)}
	maps.DeleteFunc(out.grants, func(k key, _ Grant) bool { _, has := t.grants[k]; return has })
	return out
}

// Empty tells whether there is nothing to do.
func (c Contents) Empty() bool { return c.Add.Empty() && c.Remove.Empty() && len(c.Replace) == 0 }

// Apply returns the set that a change leaves behind.
func (c Contents) Apply(have Set) Set {
	left := have.Absent(c.Remove)
	for _, r := range c.Replace {
		left = left.Absent(NewSet(r.From)).Union(NewSet(r.To))
	}
	return left.Union(c.Add)
}
