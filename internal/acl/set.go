// Package acl holds access control lists of MaxCompute roles as values that compare by meaning: without regard to the case
// of names and actions, to order and repetition, to whether the schema "default" is spelt out, and with the action All
// standing for the actions that it grants. It is pure: standard library only, no clock, no client.
package acl

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Grant is a set of actions on one object.
type Grant struct {
	Kind Kind
	// Schema is empty for kinds that have none; for the others, empty means DefaultSchema.
	Schema  string
	Name    string
	Actions []string
}

// key is what makes two grants speak of the same object.
type key struct {
	kind         Kind
	schema, name string
}

func keyOf(g Grant) key {
	k := key{kind: g.Kind, name: strings.ToLower(g.Name)}
	if g.Kind.HasSchema() {
		k.schema = strings.ToLower(cmp.Or(g.Schema, DefaultSchema))
	}
	return k
}

// Set is an access control list. The zero value is empty and ready to use; a Set never changes once it is made.
type Set struct {
	// grants hold canonical, sorted, non-empty actions; they keep the name as it was first spelt, for what is sent to
	// the service and shown to people.
	grants map[key]Grant
}

// NewSet makes the Set that the grants together mean.
func NewSet(grants ...Grant) Set {
	s := Set{grants: make(map[key]Grant, len(grants))}
	var last Grant
	var actions []string
	for _, g := range grants {
		// Long lists repeat the same actions from entry to entry.
		if g.Kind != last.Kind || !slices.Equal(g.Actions, last.Actions) {
			last, actions = g, canonical(g.Kind, g.Actions)
		}
		s.add(keyOf(g), g, actions)
	}
	return s
}

// add merges actions, which are canonical, into the entry of an object.
func (s Set) add(k key, g Grant, actions []string) {
	if len(actions) == 0 {
		return
	}
	if old, ok := s.grants[k]; ok {
		actions = union(old.Actions, actions)
		// Of two spellings the smaller one, so that the order of the input does not matter.
		g.Name, g.Schema = min(old.Name, g.Name), min(old.Schema, cmp.Or(g.Schema, k.schema))
	}
	g.Schema = cmp.Or(g.Schema, k.schema)
	if k.schema == "" {
		g.Schema = ""
	}
	g.Actions = actions
	s.grants[k] = g
}

// canonical returns the actions in the vendor's spelling, All written out, sorted, each once. An action that the catalogue
// does not know is kept in lower case: the cloud may know more than this program, and what it reports must not get lost.
func canonical(kind Kind, actions []string) []string {
	out := make([]string, 0, len(actions))
	for _, action := range actions {
		folded := strings.ToLower(action)
		if folded == all {
			out = append(out, catalogue[kind].full...)
			continue
		}
		out = append(out, cmp.Or(spelling[kind][folded], folded))
	}
	if !slices.IsSorted(out) {
		slices.Sort(out)
	}
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(action string) bool { return action == "" })
}

// Grants returns the entries ordered by kind, schema and name, one per object. They must not be changed.
func (s Set) Grants() []Grant {
	return slices.SortedFunc(s.all(), compare)
}

func (s Set) all() iter.Seq[Grant] { return maps.Values(s.grants) }

func compare(a, b Grant) int {
	return cmp.Or(
		cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)),
		cmp.Compare(strings.ToLower(a.Schema), strings.ToLower(b.Schema)),
		cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)),
	)
}

// Empty tells whether the set grants nothing.
func (s Set) Empty() bool { return len(s.grants) == 0 }

// Len is the number of objects.
func (s Set) Len() int { return len(s.grants) }

// Pairs is the number of (object, action) pairs.
func (s Set) Pairs() int {
	n := 0
	for g := range s.all() {
		n += len(g.Actions)
	}
	return n
}

// Minus returns what s grants and t does not.
func (s Set) Minus(t Set) Set {
	return s.where(t, false)
}

// Intersect returns what both grant.
func (s Set) Intersect(t Set) Set {
	return s.where(t, true)
}

// where keeps the actions of s that t has, or that t lacks.
func (s Set) where(t Set, has bool) Set {
	out := Set{grants: map[key]Grant{}}
	for k, g := range s.grants {
		theirs := t.grants[k].Actions
		if slices.Equal(g.Actions, theirs) {
			if has {
				out.grants[k] = g
			}
			continue
		}
		kept := make([]string, 0, len(g.Actions))
		for _, action := range g.Actions {
			if slices.Contains(theirs, action) == has {
				kept = append(kept, action)
			}
		}
		if len(kept) > 0 {
			g.Actions = kept
			out.grants[k] = g
		}
	}
	return out
}

// Union returns what either grants.
func (s Set) Union(t Set) Set {
	out := Set{grants: make(map[key]Grant, len(s.grants)+len(t.grants))}
	for _, set := range []Set{s, t} {
		for k, g := range set.grants {
			out.add(k, g, g.Actions)
		}
	}
	return out
}

// Contains tells whether s grants everything that t grants.
func (s Set) Contains(t Set) bool { return t.Minus(s).Empty() }

// Equal tells whether both grant the same.
func (s Set) Equal(t Set) bool { return s.Contains(t) && t.Contains(s) }

// union merges two sorted lists into a sorted list without repetition.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
