// Package plan holds what would be done to the cloud, as a value: computed without a client, shown to people, and carried
// out step by step. It is pure: standard library only.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verb is what a step does.
type Verb string

// The verbs, in the order in which a plan may hold them. Who has to go goes before anything is granted, and who is new comes when everything
// is in place, so that nobody has what neither the old nor the new spec gives them; grants come before revocations, so that nobody lacks
// what both give.
const (
	RemoveMember Verb = "RemoveMember"
	Disallow     Verb = "Disallow"
	Create       Verb = "Create"
	Grant        Verb = "Grant"
	Add          Verb = "Add"
	SetPolicy    Verb = "SetPolicy"
	// Replace removes an entry and adds it again, where nothing can change it in place.
	Replace   Verb = "Replace"
	Revoke    Verb = "Revoke"
	Remove    Verb = "Remove"
	AddMember Verb = "AddMember"
	Allow     Verb = "Allow"
	// Adopt writes nothing to the cloud: it records that what was there before is as wanted now.
	Adopt  Verb = "Adopt"
	Delete Verb = "Delete"
)

// Independent reports whether a step can be refused without making the others pointless.
func (v Verb) Independent() bool { return v != Create && v != Adopt && v != Delete }

// The kinds of entries whose steps count in a way of their own.
const (
	// KindPackage is a package: what is in it counts as entries.
	KindPackage = "Package"
	// KindAllowedProject is a project that may install a package: it has a label in the place of actions.
	KindAllowedProject = "AllowedProject"
)

// Entry names an object in the cloud and, where that applies, actions on it.
type Entry struct {
	Kind       string
	SchemaName string
	Name       string
	Actions    []string
}

// String shows an entry the way a person would write it: "Select, Update on Table dwd_orders".
func (e Entry) String() string {
	name := e.Name
	if e.SchemaName != "" && !strings.EqualFold(e.SchemaName, "default") {
		name = e.SchemaName + "." + name
	}
	if len(e.Actions) == 0 {
		return e.Kind + " " + name
	}
	return fmt.Sprintf("%s on %s %s", strings.Join(e.Actions, ", "), e.Kind, name)
}

// Step is one change in the cloud, in general one call.
type Step struct {
	Verb Verb
	Entry
	// Contents is what a Create puts into the new object right away, and what an Add or a Remove is about.
	Contents []Entry
	// Previous are the actions that a Replace takes away, and an Allow that changes something that is there; those in Actions take their
	// place.
	Previous []string
	// Members are the principals of an AddMember or RemoveMember.
	Members []string
	// Policy is the document that a SetPolicy leaves behind; empty for none. Allows and Denies count the pairs of resource and action
	// that it newly gives and that it takes away; Denies is 1 of a project that gets a lower label. PreviousPolicy is the document that it
	// replaces, to be shown.
	Policy         string
	PreviousPolicy string
	Allows, Denies int
	// Repeat says of a Create that the outcome of an earlier attempt is unknown, so that "exists already" does not mean "somebody
	// else's"; and of a Replace that an earlier attempt has removed the entry.
	Repeat bool
}

// String is the step in one line: "Grant Select on Table dwd_orders".
func (s Step) String() string {
	switch s.Verb {
	case AddMember:
		return fmt.Sprintf("%s %s to %s", s.Verb, strings.Join(s.Members, ", "), s.Entry)
	case RemoveMember:
		return fmt.Sprintf("%s %s from %s", s.Verb, strings.Join(s.Members, ", "), s.Entry)
	case SetPolicy:
		return fmt.Sprintf("%s of %s", s.Verb, s.Entry)
	case Add:
		return fmt.Sprintf("%s %s to %s", s.Verb, list(s.Contents), s.Entry)
	case Remove:
		return fmt.Sprintf("%s %s from %s", s.Verb, list(s.Contents), s.Entry)
	case Replace:
		return fmt.Sprintf("%s %s by %s", s.Verb, strings.Join(s.Previous, ", "), s.Entry)
	default:
		return string(s.Verb) + " " + s.Entry.String()
	}
}

func list(entries []Entry) string {
	texts := make([]string, len(entries))
	for i, e := range entries {
		texts[i] = e.String()
	}
	return strings.Join(texts, "; ")
}

// Fills is the verb as which the contents of a new object count.
func (s Step) Fills() Verb {
	if s.Kind == KindPackage {
		return Add
	}
	return Grant
}

// Grants counts what a step adds: pairs of object and action, members, and projects.
func (s Step) Grants() int {
	n := 0
	switch s.Verb {
	case Grant:
		n = len(s.Actions)
	case AddMember:
		n = len(s.Members)
	case SetPolicy:
		n = s.Allows
	case Allow:
		n = 1 - min(1, len(s.Previous))
	case Replace:
		if s.Kind != KindAllowedProject {
			n = len(Without(s.Actions, s.Previous))
		}
	case Create, Add:
		n = pairs(s.Contents)
	default:
	}
	return n
}

// Revokes counts what a step takes away: pairs of object and action, members, and projects.
func (s Step) Revokes() int {
	switch s.Verb {
	case Revoke:
		return len(s.Actions)
	case RemoveMember:
		return len(s.Members)
	case SetPolicy, Allow:
		return s.Denies
	case Disallow:
		return 1
	case Replace:
		if s.Kind == KindAllowedProject {
			return s.Denies
		}
		return len(Without(s.Previous, s.Actions))
	case Remove:
		return pairs(s.Contents)
	default:
		return 0
	}
}

// Rebuilds reports whether a step removes something that is there and adds it again in another form.
func (s Step) Rebuilds() bool {
	return s.Verb == Replace || s.Verb == Allow && len(s.Previous) > 0
}

// LetsIn reports whether a step lets somebody in who is to have all that is there.
func (s Step) LetsIn() bool {
	return s.Verb == AddMember || s.Verb == Allow && len(s.Previous) == 0
}

// TakesAccess reports whether a step takes something away from all who were let in, as opposed to letting one of them in no more.
func (s Step) TakesAccess() bool {
	return s.Revokes() > 0 && s.Verb != RemoveMember && s.Verb != Disallow
}

func pairs(entries []Entry) int {
	n := 0
	for _, e := range entries {
		n += len(e.Actions)
	}
	return n
}

// Without returns those of some actions that are not among others.
func Without(actions, others []string) []string {
	return slices.DeleteFunc(slices.Clone(actions), func(action string) bool { return slices.Contains(others, action) })
}

// Hold says why a plan must not be carried out: a reason for the Ready condition and a message for people.
type Hold struct {
	Reason, Message string
	// Wait says that what the plan waits for may come by itself; RetryAfter is how soon that is to be looked for.
	Wait       bool
	RetryAfter time.Duration
}

// Plan is what would be done, in order.
type Plan struct {
	Steps []Step
	// Hold, if set, forbids to carry the steps out.
	Hold *Hold
	// Problems are differences that no step can mend, in words.
	Problems []string
	// Failure is why a part of what is there could not be read. The steps are about the rest, and what must go in any case.
	Failure error
	// Basis describes the state that the plan was computed from. The same state gives the same text.
	Basis string
	// Holds counts what the object holds now, as Revokes does.
	Holds int
}

// Empty tells whether nothing would be done.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && p.Hold == nil }

// Grants counts what the plan adds.
func (p Plan) Grants() int { return count(p.Steps, Step.Grants) }

// Revokes counts what the plan takes away.
func (p Plan) Revokes() int { return count(p.Steps, Step.Revokes) }

func count(steps []Step, of func(Step) int) int {
	n := 0
	for _, s := range steps {
		n += of(s)
	}
	return n
}

// smallHalf is the half of what an object holds up to which taking away more than half needs nobody's approval.
const smallHalf = 10

// Exceeds tells whether the plan takes away so much that a person must approve it: more than limit, or more than half of what the object
// holds now unless that is little. A limit of 0 switches the rule off.
func (p Plan) Exceeds(limit int) bool {
	revokes := p.Revokes()
	return limit > 0 && (revokes > limit || 2*revokes > p.Holds && p.Holds > 2*smallHalf)
}

// Hash names the plan and what it was computed from: a changed plan, or the same plan from another state, has another hash.
func (p Plan) Hash() string {
	lines := []string{fmt.Sprintf("%q", p.Basis)}
	for _, s := range p.Steps {
		lines = append(lines, fmt.Sprintf("%s %q %q %q %q %q %q %q %q", s.Verb, s.Kind, s.SchemaName, s.Name, s.Actions, s.Previous, s.Contents, s.Members, s.Policy))
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:16])
}

// String shows the plan, one line per step.
func (p Plan) String() string {
	if p.Hold != nil {
		return p.Hold.Reason + ": " + p.Hold.Message
	}
	lines := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		lines[i] = s.String()
	}
	return strings.Join(lines, "\n")
}

// Outline says what steps would do, in a few words: "create Role bi_reader, grant 3, revoke 1".
func Outline(steps []Step) string { return words(steps, wouldDo) }

// Summary says what steps did, for events: "created Role bi_reader, granted 3, revoked 1". Grants and revocations count as pairs of
// object and action.
func Summary(steps []Step) string { return words(steps, did) }

var (
	verbs   = []Verb{Create, Adopt, Grant, Add, SetPolicy, Replace, Revoke, Remove, AddMember, RemoveMember, Allow, Disallow, Delete}
	wouldDo = map[Verb]string{
		Create: "create", Adopt: "adopt", Grant: "grant", Add: "add", SetPolicy: "set the policy of", Replace: "remove and add again",
		Revoke: "revoke", Remove: "remove", AddMember: "add members", RemoveMember: "remove members", Allow: "allow", Disallow: "disallow",
		Delete: "delete",
	}
	did = map[Verb]string{
		Create: "created", Adopt: "adopted", Grant: "granted", Add: "added", SetPolicy: "set the policy of", Replace: "removed and added again",
		Revoke: "revoked", Remove: "removed", AddMember: "added members", RemoveMember: "removed members", Allow: "allowed",
		Disallow: "disallowed", Delete: "deleted",
	}
)

func words(steps []Step, names map[Verb]string) string {
	var parts []string
	for _, verb := range verbs {
		if part := part(verb, steps); part != "" {
			parts = append(parts, names[verb]+" "+part)
		}
	}
	return strings.Join(parts, ", ")
}

// part is what steps of one verb are about: the names of whole objects and projects, a number for what is in them.
func part(verb Verb, steps []Step) string {
	n, names := 0, []string{}
	for _, s := range steps {
		switch {
		case s.Verb == Create && verb == s.Fills():
			n += s.size()
		case s.Verb != verb:
		case verb == Create, verb == Adopt, verb == SetPolicy, verb == Delete:
			names = append(names, s.Entry.String())
		default:
			n += s.size()
		}
	}
	switch {
	case len(names) > 0:
		slices.Sort(names)
		return strings.Join(slices.Compact(names), ", ")
	case n == 0:
		return ""
	}
	unit := units[verb]
	if n > 1 {
		unit = strings.Replace(strings.Replace(unit, "entry", "entries", 1), "project", "projects", 1)
	}
	return strings.TrimSpace(fmt.Sprint(n, " ", unit))
}

// units are what the numbers of some verbs count.
var units = map[Verb]string{Add: "entry", Remove: "entry", Replace: "entry", Allow: "project", Disallow: "project"}

// size is how much a step is about: entries of a package, projects, pairs of object and action, or members.
func (s Step) size() int {
	switch {
	case s.Verb == Replace, s.Verb == Allow, s.Verb == Disallow:
		return 1
	case s.Verb == Add, s.Verb == Remove, s.Verb == Create && s.Fills() == Add:
		return len(s.Contents)
	}
	return s.Grants() + s.Revokes()
}
