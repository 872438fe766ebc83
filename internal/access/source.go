package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// inBrief is how many names a brief text lists.
const inBrief = 3

// Brief is Text for a line of a table: of a policy's statement only what it is about, without what all resources of the project begin
// with.
func (s *Source) Brief(project string) string {
	if s.scope == nil {
		return s.Text
	}
	actions, notActions := s.scope.Actions()
	resources, notResources := s.scope.Resources()
	return "policy " + brief(actions, notActions, "odps:") + " on " +
		brief(resources, notResources, "acs:odps:*:", "projects/"+strings.ToLower(project)+"/")
}

func brief(names []string, except bool, prefixes ...string) string {
	if except && len(names) == 0 {
		return "*"
	}
	var short []string
	for _, name := range names {
		for _, prefix := range prefixes {
			name = strings.TrimPrefix(name, prefix)
		}
		short = append(short, name)
	}
	text := strings.Join(short[:min(len(short), inBrief)], ", ")
	if n := len(short) - inBrief; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	if except {
		return "all but " + text
	}
	return text
}

// NewRole prepares a role for questions. Its members are not known yet: see SetMembers.
func NewRole(name string, isAdmin bool, set acl.Set, policy acl.Document, declaration *Declaration) *Role {
	r := &Role{Name: name, Admin: isAdmin, ACL: set, Policy: policy, Declaration: declaration, byObject: map[Object][]*Source{}}
	if IsBuiltIn(name) {
		r.addBroad(&Source{Role: r, Effect: Allow, Text: "built-in role that may do everything with every object", State: Unmanaged, builtIn: true})
	}
	r.addACL()
	r.addPolicy()
	return r
}

// IsBuiltIn tells of the two roles that every project has. What they may do is documented, whatever the service says that they hold.
func IsBuiltIn(role string) bool {
	return strings.EqualFold(role, superAdministrator) || strings.EqualFold(role, admin)
}

// addBroad adds a source that may be about many objects.
func (r *Role) addBroad(s *Source) { r.sources, r.broad = append(r.sources, s), append(r.broad, s) }

// addACL makes a source of each entry; of one that is declared in part, two.
func (r *Role) addACL() {
	declared, rest := acl.Set{}, Unmanaged
	if d := r.Declaration; d != nil && d.ACL != nil {
		declared, rest = *d.ACL, d.state(false)
	}
	for _, part := range []struct {
		set   acl.Set
		state State
	}{{r.ACL.Intersect(declared), Declared}, {r.ACL.Minus(declared), rest}} {
		for _, entry := range part.set.Grants() {
			on := NewObject(entry.Kind, entry.Schema, entry.Name)
			s := &Source{Role: r, Effect: Allow, Text: entryText(entry), State: part.state, entry: entry, on: on}
			if strings.Contains(entry.Name, "*") {
				r.addBroad(s)
			} else {
				r.sources, r.byObject[on] = append(r.sources, s), append(r.byObject[on], s)
			}
		}
	}
}

// addPolicy makes a source of each statement.
func (r *Role) addPolicy() {
	var declared map[string]bool
	rest := Unmanaged
	if d := r.Declaration; d != nil && d.Policy != nil {
		declared, rest = d.Policy.Fingerprints(), d.state(false)
	}
	for _, statement := range r.Policy.Statements() {
		scope := statement.Scope()
		s := &Source{Role: r, Effect: Effect(statement.Effect()), Text: statementText(statement), State: rest, scope: &scope, doubt: r.Policy.Doubt()}
		if declared[statement.Fingerprint()] {
			s.State = Declared
		}
		if r.Admin && s.doubt == "" {
			s.doubt = "a role of type admin holds no permissions on objects"
		}
		r.addBroad(s)
	}
}

// Granted is what a request was granted on one object.
type Granted struct {
	Entry acl.Grant
	// Columns are what it is limited to; without any, it is the whole table.
	Columns []string
}

// NewRequest makes a Request. until is when it ends, as text, empty if it does not; doubt is why it cannot be told what was granted.
func NewRequest(object string, accounts []string, granted []Granted, until, doubt string) *Request {
	r := &Request{Object: object, Accounts: accounts}
	for _, g := range granted {
		for _, entry := range acl.NewSet(g.Entry).Grants() {
			on := NewObject(entry.Kind, entry.Schema, entry.Name)
			text := fmt.Sprintf("permission request for %s on %s", strings.Join(entry.Actions, ", "), on)
			if len(g.Columns) > 0 {
				text += " (" + strings.Join(g.Columns, ", ") + ")"
			}
			r.sources = append(r.sources, &Source{Request: r, Effect: Allow, State: Declared, Text: text, Until: until, entry: entry, on: on, doubt: doubt})
		}
	}
	return r
}

// about are the sources that may be about an object.
func (r *Role) about(o Object) []*Source { return slices.Concat(r.byObject[o], r.broad) }

// question is an object in all names that it has; asking makes it one for an action.
type question struct {
	Object
	resources []string
	action    string
	// name is how policies call the action, word what else stands for it there; empty if nothing does.
	name, word string
}

func (p *Project) about(o Object) question {
	return question{Object: o, resources: o.resources(p.Name)}
}

// asking is the question for an action, spelt as the vendor does.
func (q question) asking(action string) question {
	q.action, q.name, q.word = action, "odps:"+strings.ToLower(action), ""
	if q.Kind.InAll(action) {
		q.word = "odps:all"
	}
	return q
}

// covers tells whether an ACL entry is about an object.
func (s *Source) covers(o Object) bool {
	return s.on == o || s.on.Kind == o.Kind && s.on.Schema == o.Schema && acl.Matches(s.on.Name, o.Name)
}

// reach tells whether the source gives, or denies, the action, and why that cannot be told.
func (s *Source) reach(q question) (acl.Reach, string) {
	switch {
	case s.builtIn:
		return acl.Inside, ""
	case s.scope == nil:
		switch {
		case !s.covers(q.Object):
			return acl.Outside, ""
		case slices.Contains(s.entry.Actions, q.action):
			return s.doubted(acl.Inside, "")
		case slices.Contains(s.entry.Actions, "*"):
			return acl.Perhaps, "the action * is not one of an ACL"
		}
		return acl.Outside, ""
	}
	return s.doubted(s.scope.Reach(q.name, q.word, q.resources))
}

// doubted is a reach as far as the source can be relied on at all.
func (s *Source) doubted(reach acl.Reach, reason string) (acl.Reach, string) {
	if reach == acl.Inside && s.doubt != "" {
		return acl.Perhaps, s.doubt
	}
	return reach, reason
}

// candidates are the actions, each once, that a source may be about on an object: those that are known of its kind, and what the source
// names.
func (s *Source) candidates(q question) []string {
	switch {
	case s.builtIn && q.Kind == "":
		return []string{"*"}
	case s.builtIn:
		return q.Kind.Actions()
	case s.scope == nil:
		return s.candidatesOfEntry(q)
	}
	if reach, _ := s.scope.On(q.resources); reach == acl.Outside {
		return nil
	}
	return s.candidatesOfStatement(q)
}

func (s *Source) candidatesOfEntry(q question) []string {
	switch {
	case !s.covers(q.Object):
		return nil
	case slices.Contains(s.entry.Actions, "*"):
		return slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.entry.Actions, q.Kind.Actions()))))
	}
	return s.entry.Actions
}

func (s *Source) candidatesOfStatement(q question) []string {
	known := q.Kind.Actions()
	names, except := s.scope.Actions()
	switch {
	case except && q.Kind == "":
		return []string{"(all but " + strings.Join(names, ", ") + ")"}
	case except:
		return known
	}
	var more []string
	for _, name := range names {
		name = q.Kind.SpellAction(strings.TrimPrefix(name, "odps:"))
		// What stands for many has been written out, unless nothing is known of the kind.
		if q.Kind == "" || !strings.Contains(name, "*") && name != "all" && !slices.Contains(known, name) {
			more = append(more, name)
		}
	}
	if more == nil {
		return known
	}
	return slices.Concat(known, more)
}

// objects are what the source names.
func (s *Source) objects(project string) []Object {
	switch {
	case s.builtIn:
		return []Object{{Name: "*"}}
	case s.scope == nil:
		return []Object{s.on}
	}
	names, except := s.scope.Resources()
	var out []Object
	for _, name := range names {
		out = append(out, objectOf(name, project))
	}
	if except {
		out = append(out, Object{Name: "*"})
	}
	return out
}
