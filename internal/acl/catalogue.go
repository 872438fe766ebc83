package acl

import (
	"cmp"
	"slices"
	"strings"
)

// Kind is a kind of object that the ACL of a MaxCompute role can name.
type Kind string

// The kinds that the ACL of a role knows: the six lists of the CreateRole body and of the GetRoleAcl answer.
const (
	Table    Kind = "Table"
	Resource Kind = "Resource"
	Function Kind = "Function"
	Package  Kind = "Package"
	Project  Kind = "Project"
	Instance Kind = "Instance"
)

// DefaultSchema is the schema of every object that names none.
const DefaultSchema = "default"

// all is the action that stands for every action of fullList.
const all = "all"

// Kinds are all kinds, in the order in which they are shown.
var Kinds = []Kind{Project, Table, Resource, Function, Package, Instance}

// catalogue holds, per kind, what the action All stands for and what else can be granted.
// Source: the vendor's table "MaxCompute permissions". Download is granted beside All, never by it; Read and Write on a
// project are in the grammar of GRANT although the table calls them unsupported, so a project may hold them.
var catalogue = map[Kind]struct{ full, extra []string }{
	Table:    {full: []string{"Alter", "Describe", "Drop", "Select", "ShowHistory", "Update"}, extra: []string{"Download"}},
	Resource: {full: []string{"Delete", "Read", "Write"}, extra: []string{"Download"}},
	Function: {full: []string{"Delete", "Execute", "Read", "Write"}, extra: []string{"Download"}},
	Package:  {full: []string{"Read"}},
	Project:  {full: []string{"CreateFunction", "CreateInstance", "CreateModel", "CreateResource", "CreateTable", "List"}, extra: []string{"Read", "Write"}},
	Instance: {full: []string{"Read", "Write"}, extra: []string{"Download"}},
}

// spelling maps the folded form of every action of a kind to the vendor's spelling.
var spelling = func() map[Kind]map[string]string {
	spellings := make(map[Kind]map[string]string, len(catalogue))
	for kind, actions := range catalogue {
		spellings[kind] = map[string]string{}
		for _, list := range [][]string{actions.full, actions.extra} {
			for _, action := range list {
				spellings[kind][strings.ToLower(action)] = action
			}
		}
	}
	return spellings
}()

// HasSchema tells whether objects of a kind live in a schema.
func (k Kind) HasSchema() bool { return k == Table || k == Resource || k == Function }

// KnowsAction tells whether an action can be granted on objects of this kind. All counts as known.
func (k Kind) KnowsAction(action string) bool {
	folded := strings.ToLower(action)
	_, known := spelling[k][folded]
	return known || (folded == all && k != Package)
}

// actions are those of each kind, sorted.
var actions = func() map[Kind][]string {
	sorted := make(map[Kind][]string, len(catalogue))
	for kind, actions := range catalogue {
		sorted[kind] = slices.Sorted(slices.Values(slices.Concat(actions.full, actions.extra)))
	}
	return sorted
}()

// Actions are the actions that can be granted on objects of this kind, sorted, without All, which stands for most of them. They must not
// be changed.
func (k Kind) Actions() []string { return actions[k] }

// InAll tells whether the action All stands for an action, too.
func (k Kind) InAll(action string) bool {
	return slices.ContainsFunc(catalogue[k].full, func(a string) bool { return strings.EqualFold(a, action) })
}

// SpellAction spells an action as the vendor does; one that is not known stays as it is.
func (k Kind) SpellAction(action string) string {
	return cmp.Or(spelling[k][strings.ToLower(action)], action)
}
