package fakecloud

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// defaultSchema is the schema of everything in a project without the three-tier model.
const defaultSchema = "default"

// Grant is what a role may do with one object.
type Grant struct {
	// Kind is one of table, resource, function, project, instance, package.
	Kind string `json:"kind"`
	// SchemaName is "default" unless the object lives in another schema of a three-tier project.
	SchemaName string `json:"schemaName"`
	// Name is the object's name, without project and schema; "*" stands for all.
	Name string `json:"name"`
	// Actions are sorted and in lower case, as the service echoes them. In requests any case and
	// the action All are accepted.
	Actions []string `json:"actions"`
}

// objectKind is what the fake knows about one kind of object.
type objectKind struct {
	name string
	// actions are what All stands for, in the documented spelling ("Alibaba Cloud documentation:
	// MaxCompute permissions").
	actions []string
	// extra can be granted but is not part of All.
	extra []string
	// schemas tells that objects of this kind live in a schema.
	schemas bool
	// folds tells that names are stored in lower case. Names of the other kinds are echoed as they
	// were first granted, and compared without case.
	folds   bool
	pattern *regexp.Regexp
	// path is the object's path in the texts of SHOW GRANTS and DESCRIBE ROLE.
	path string
}

// objectKinds are in the order in which GetRoleAcl's documented sample has them.
var objectKinds = []*objectKind{
	{
		name: "table", path: "tables", schemas: true, folds: true,
		actions: []string{"Describe", "Select", "Alter", "Update", "Drop", "ShowHistory"},
		extra:   []string{"Download"},
		pattern: regexp.MustCompile(`^[A-Za-z0-9_*]+$`),
	},
	{
		name: "resource", path: "resources", schemas: true,
		actions: []string{"Read", "Write", "Delete"},
		extra:   []string{"Download"},
		pattern: regexp.MustCompile(`^[A-Za-z0-9_.*-]+$`),
	},
	{
		name: "function", path: "registration/functions", schemas: true,
		actions: []string{"Read", "Write", "Delete", "Execute"},
		extra:   []string{"Download"},
		pattern: regexp.MustCompile(`^[A-Za-z0-9_.*]+$`),
	},
	{
		// Read and Write of a project exist, but the documentation lists them as not grantable.
		name: "project", path: "projects", folds: true,
		actions: []string{"List", "CreateTable", "CreateModel", "CreateInstance", "CreateFunction", "CreateResource"},
		pattern: regexp.MustCompile(`^[A-Za-z0-9_*]+$`),
	},
	{
		name: "instance", path: "instances",
		actions: []string{"Read", "Write"},
		extra:   []string{"Download"},
		pattern: regexp.MustCompile(`^[A-Za-z0-9_*]+$`),
	},
	{
		name: "package", path: "packages", folds: true,
		actions: []string{"Read"},
		pattern: regexp.MustCompile(`^([A-Za-z0-9_]+\.)?[A-Za-z0-9_*]+$`),
	},
}

func kindByName(name string) *objectKind {
	for _, k := range objectKinds {
		if strings.EqualFold(k.name, name) {
			return k
		}
	}
	return nil
}

func (k *objectKind) order() int { return slices.Index(objectKinds, k) }

// spell gives an action in the documented spelling.
func (k *objectKind) spell(action string) string {
	for _, a := range slices.Concat(k.actions, k.extra) {
		if strings.EqualFold(a, action) {
			return a
		}
	}
	return action
}

// expand checks actions, replaces All, and returns them sorted, in lower case, without duplicates.
func (k *objectKind) expand(actions []string) ([]string, *problem) {
	var out []string
	for _, a := range actions {
		if strings.EqualFold(a, "All") {
			out = append(out, k.actions...)
			continue
		}
		if !slices.ContainsFunc(slices.Concat(k.actions, k.extra), func(known string) bool { return strings.EqualFold(known, a) }) {
			return nil, invalid("invalid privilege '%s' for object type %s", a, k.name)
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		return nil, invalid("no privilege given for object type %s", k.name)
	}
	for i := range out {
		out[i] = strings.ToLower(out[i])
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// canonical checks a grant and brings it into the form in which roles hold it.
func canonical(g Grant) (Grant, *problem) {
	k := kindByName(g.Kind)
	if k == nil {
		return Grant{}, invalid("invalid object type '%s'", g.Kind)
	}
	if !k.pattern.MatchString(g.Name) {
		return Grant{}, invalid("invalid %s name '%s'", k.name, g.Name)
	}
	actions, p := k.expand(g.Actions)
	if p != nil {
		return Grant{}, p
	}
	out := Grant{Kind: k.name, SchemaName: fold(g.SchemaName), Name: g.Name, Actions: actions}
	if out.SchemaName == "" || !k.schemas {
		out.SchemaName = defaultSchema
	}
	if k.folds {
		out.Name = fold(out.Name)
	}
	return out, nil
}

// fold is how the service compares names.
func fold(name string) string { return strings.ToLower(name) }

// compareObjects orders grants by object: kind, schema, name without case.
func compareObjects(a, b Grant) int {
	return cmp.Or(
		cmp.Compare(kindByName(a.Kind).order(), kindByName(b.Kind).order()),
		cmp.Compare(a.SchemaName, b.SchemaName),
		cmp.Compare(fold(a.Name), fold(b.Name)),
	)
}

// merge adds a canonical grant to a sorted list and returns the new list and what was not there
// before. The list it was given stays as it is.
func merge(acl []Grant, g Grant) ([]Grant, []string) {
	i, found := slices.BinarySearchFunc(acl, g, compareObjects)
	if !found {
		return slices.Insert(slices.Clone(acl), i, g), g.Actions
	}
	added := subtract(g.Actions, acl[i].Actions)
	if len(added) == 0 {
		return acl, nil
	}
	all := slices.Concat(acl[i].Actions, added)
	slices.Sort(all)
	out := slices.Clone(acl)
	out[i].Actions = all
	return out, added
}

// remove takes a canonical grant out of a sorted list and returns the new list and what was there.
func remove(acl []Grant, g Grant) ([]Grant, []string) {
	i, found := slices.BinarySearchFunc(acl, g, compareObjects)
	if !found {
		return acl, nil
	}
	left := subtract(acl[i].Actions, g.Actions)
	removed := subtract(acl[i].Actions, left)
	if len(removed) == 0 {
		return acl, nil
	}
	out := slices.Clone(acl)
	if len(left) == 0 {
		return slices.Delete(out, i, i+1), removed
	}
	out[i].Actions = left
	return out, removed
}

// subtract returns what is in a and not in b, in a's order.
func subtract(a, b []string) []string {
	var out []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// cloneGrants returns a copy that shares nothing with the state.
func cloneGrants(acl []Grant) []Grant {
	out := make([]Grant, len(acl))
	for i, g := range acl {
		g.Actions = slices.Clone(g.Actions)
		out[i] = g
	}
	return out
}
