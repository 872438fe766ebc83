package acl

import (
	"maps"
	"slices"
	"strings"
)

// Reach is whether a statement is about an action on an object.
type Reach int

// The values of Reach, in this order.
const (
	// Outside is what the statement does not speak of.
	Outside Reach = iota
	// Perhaps is what it may speak of: that cannot be told from the statement alone.
	Perhaps
	// Inside is what it surely speaks of.
	Inside
)

// Scope is what a statement speaks of, prepared for being asked about many objects. Actions and resources compare without case, as
// the names of objects do.
type Scope struct {
	actions, resources terms
	// regional are the resources that name a region, with every region in its place: a name does not tell where its project is.
	regional terms
	doubt    string
}

// ResourcePrefix is how the name of every resource begins: service and region.
const ResourcePrefix = "acs:odps:*:"

// actionPrefix is how every action begins in a policy.
const actionPrefix = "odps:"

// Scope returns what the statement speaks of. Where it is not as documented, it is read as it must be meant, and doubted.
func (s Statement) Scope() Scope {
	actions, wholeActions := s.actions.beginning(actionPrefix, actionPrefix)
	resources, wholeResources := s.resources.folded().beginning("acs:", ResourcePrefix)
	scope := Scope{
		actions: actions, resources: resources, doubt: s.doubt(),
		regional: terms{names: anywhere(resources.names), except: anywhere(resources.except)},
	}
	switch {
	case scope.doubt != "":
	case !wholeActions:
		scope.doubt = "an action of it does not begin with " + actionPrefix
	case !wholeResources:
		scope.doubt = "a resource of it does not begin with acs:"
	}
	return scope
}

// beginning are the terms with a prefix before those that do not begin as they should, unless a * stands there; whole tells that all do.
func (t terms) beginning(as, prefix string) (out terms, whole bool) {
	whole = true
	complete := func(names []string) []string {
		list := make([]string, len(names))
		for i, name := range names {
			if list[i] = name; !strings.HasPrefix(name, as) && !strings.HasPrefix(name, "*") {
				list[i], whole = prefix+name, false
			}
		}
		return list
	}
	return terms{names: complete(t.names), other: t.other, except: complete(t.except)}, whole
}

// anywhere returns the resources that name a region, with every region in its place.
func anywhere(resources []string) []string {
	var out []string
	for _, name := range resources {
		if parts := strings.SplitN(name, ":", 4); len(parts) == 4 && parts[2] != "*" {
			parts[2] = "*"
			out = append(out, strings.Join(parts, ":"))
		}
	}
	return out
}

// doubt is why it cannot be told whether the statement applies; empty if it always does.
func (s Statement) doubt() string {
	switch {
	case s.effect != allow && s.effect != deny:
		return "its Effect is neither Allow nor Deny"
	case s.actions.unbounded():
		return "it names no Action"
	case s.resources.unbounded():
		return "it names no Resource"
	case s.rest != noRest:
		members, err := parseJSON([]byte(s.rest))
		if object, ok := members.(map[string]any); err == nil && ok {
			return "it has a " + strings.Join(slices.Sorted(maps.Keys(object)), " and a ")
		}
		return "it has members that are not known"
	}
	return ""
}

// Reach tells whether the statement speaks of an action on an object, which has several names, all in lower case, such as odps:select
// and acs:odps:*:projects/p/tables/t. word is what else stands for the action where it is spelt out, such as odps:all, and empty if nothing
// does: a pattern stands for the names of actions, so odps:a* is not Select. The reason is why that cannot be told.
func (s Scope) Reach(action, word string, resources []string) (reach Reach, reason string) {
	if !s.actions.speakOf(action, word) {
		return Outside, ""
	}
	return s.On(resources)
}

// On is Reach for at least one action, whichever.
func (s Scope) On(resources []string) (reach Reach, reason string) {
	named, other := matchAny(s.resources.names, resources), s.resources.other && !matchAny(s.resources.except, resources)
	switch {
	case !named && (matchAny(s.regional.names, resources) || other && matchAny(s.regional.except, resources)):
		return Perhaps, "it names a region"
	case !named && !other:
		return Outside, ""
	case s.doubt != "":
		return Perhaps, s.doubt
	}
	return Inside, ""
}

// Doubt is why it cannot be told whether the statement applies, whatever it is asked about; empty if that can be told.
func (s Scope) Doubt() string { return s.doubt }

// Actions are the names and patterns of actions, in lower case; except says that they are those which the statement does not speak of.
func (s Scope) Actions() (names []string, except bool) {
	if s.actions.other {
		return s.actions.except, true
	}
	return s.actions.names, false
}

// Resources are likewise those of resources.
func (s Scope) Resources() (names []string, except bool) {
	if s.resources.other {
		return s.resources.except, true
	}
	return s.resources.names, false
}

// Effect is Allow, Deny, or what else the statement says, as it is spelt.
func (s Statement) Effect() string {
	switch s.effect {
	case allow:
		return "Allow"
	case deny:
		return "Deny"
	}
	return s.effect
}

// Doubt is why nothing certain can be said of what the document means; empty if there is no such reason.
func (d Document) Doubt() string {
	switch {
	case len(d.others) > 0:
		return "the policy has members that are not known: " + strings.Join(slices.Sorted(maps.Keys(d.others)), ", ")
	case d.version != "" && d.version != policyVersion:
		return "the policy is of a version that is not known"
	}
	return ""
}

// speakOf tells whether the terms cover a name, which a word can stand for.
func (t terms) speakOf(name, word string) bool {
	among := func(terms []string) bool {
		return matchAny(terms, []string{name}) || word != "" && slices.Contains(terms, word)
	}
	return among(t.names) || t.other && !among(t.except)
}

// unbounded tells of terms that are all there are because none was named.
func (t terms) unbounded() bool { return t.other && len(t.except) == 0 }

// folded are the terms in lower case, as names in an ACL are: a Deny must not miss what an entry gives.
func (t terms) folded() terms {
	lower := func(names []string) []string {
		out := make([]string, len(names))
		for i, name := range names {
			out[i] = strings.ToLower(name)
		}
		return out
	}
	return terms{names: lower(t.names), other: t.other, except: lower(t.except)}
}

// matchAny tells whether any of the patterns covers any of the names.
func matchAny(patterns, names []string) bool {
	for _, name := range names {
		for _, pattern := range patterns {
			if matches(pattern, name) {
				return true
			}
		}
	}
	return false
}
