// Package plan holds what would be done to the cloud, as a value: computed without a client, shown to people, and carried
// out step by step. It is pure: standard library only.
package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Verb is what a step does.
type Verb string

// The verbs, in the order in which a plan may hold them.
const (
	Create       Verb = "Create"
	Grant        Verb = "Grant"
	Revoke       Verb = "Revoke"
	RemoveMember Verb = "RemoveMember"
	Delete       Verb = "Delete"
)

// Independent tells whether a step can be refused without making the others pointless.
func (v Verb) Independent() bool { return v == Grant || v == Revoke }

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

// Step is one call to the cloud.
type Step struct {
	Verb Verb
	Entry
	// Contents is what a Create puts into the new object right away.
	Contents []Entry
	// Members are the principals of a RemoveMember.
	Members []string
	// Repeat says that the outcome of an earlier attempt is unknown, so that "exists already" does not mean "somebody else's".
	Repeat bool
}

// String is the step in one line: "Grant Select on Table dwd_orders".
func (s Step) String() string { return string(s.Verb) + " " + s.Entry.String() }

// Hold says why a plan must not be carried out: a reason for the Ready condition and a message for people.
type Hold struct {
	Reason, Message string
}

// Plan is what would be done, in order. A plan with a Hold has no steps.
type Plan struct {
	Steps []Step
	Hold  *Hold
}

// Empty tells whether nothing would be done.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && p.Hold == nil }

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

// done is how Summary names what has been carried out.
var done = map[Verb]string{
	Create: "created", Grant: "granted", Revoke: "revoked", RemoveMember: "removed members", Delete: "deleted",
}

// Summary counts what steps did, for events: "created Role bi_reader, granted 3, revoked 1". Grants and revocations count as
// pairs of object and action.
func Summary(steps []Step) string {
	var parts []string
	for _, verb := range []Verb{Create, Grant, Revoke, RemoveMember, Delete} {
		if part := summarise(verb, steps); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

func summarise(verb Verb, steps []Step) string {
	count, names := 0, []string{}
	for _, s := range steps {
		switch {
		case s.Verb == Create && verb == Grant:
			for _, content := range s.Contents {
				count += len(content.Actions)
			}
		case s.Verb != verb:
		case verb == Create, verb == Delete:
			names = append(names, s.Entry.String())
		default:
			count += len(s.Actions) + len(s.Members)
		}
	}
	switch {
	case len(names) > 0:
		slices.Sort(names)
		return done[verb] + " " + strings.Join(names, ", ")
	case count > 0:
		return fmt.Sprintf("%s %d", done[verb], count)
	}
	return ""
}
