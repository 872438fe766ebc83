package access

import (
	"cmp"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// Object is what a permission is about. Names are in lower case, as MaxCompute compares them; a * in them stands for many.
type Object struct {
	// Kind is empty for what only a policy can name, by Name.
	Kind acl.Kind
	// Schema is empty for kinds that have none.
	Schema, Name string
}

// NewObject makes an Object of names as people spell them.
func NewObject(kind acl.Kind, schema, name string) Object {
	o := Object{Kind: kind, Name: strings.ToLower(name)}
	if kind.HasSchema() {
		o.Schema = strings.ToLower(cmp.Or(schema, acl.DefaultSchema))
	}
	return o
}

// String names the object as people do: without the schema if that is the default one.
func (o Object) String() string {
	name := o.Name
	if o.Schema != "" && o.Schema != acl.DefaultSchema {
		name = o.Schema + "." + name
	}
	return strings.TrimSpace(string(o.Kind) + " " + name)
}

// Compare orders objects by kind, schema and name.
func (o Object) Compare(other Object) int {
	rank := func(k acl.Kind) int {
		for i, kind := range acl.Kinds {
			if kind == k {
				return i
			}
		}
		return len(acl.Kinds)
	}
	return cmp.Or(cmp.Compare(rank(o.Kind), rank(other.Kind)), cmp.Compare(o.Schema, other.Schema), cmp.Compare(o.Name, other.Name))
}

// segments are how policies name the kinds, below a project or a schema.
var segments = map[acl.Kind]string{
	acl.Table: "tables/", acl.Resource: "resources/", acl.Function: "registration/functions/", acl.Package: "packages/", acl.Instance: "instances/",
}

// resources are the names that policies have for an object. In a project with schemas, what is named without one is in the schema
// "default".
func (o Object) resources(project string) []string {
	base := acl.ResourcePrefix + "projects/" + strings.ToLower(project)
	if o.Kind == "" {
		return []string{acl.ResourcePrefix + o.Name}
	}
	if o.Kind == acl.Project {
		return []string{base}
	}
	names := []string{base + "/" + segments[o.Kind] + o.Name}
	if o.Schema == "" {
		return names
	}
	inSchema := base + "/schemas/" + o.Schema + "/" + segments[o.Kind] + o.Name
	if o.Schema == acl.DefaultSchema {
		return append(names, inSchema)
	}
	return []string{inSchema}
}

// objectOf reads a resource of a policy: an object if it names one kind of objects of the project, or else what is just called so.
func objectOf(resource, project string) Object {
	resource = strings.ToLower(resource)
	if parts := strings.SplitN(resource, ":", 4); len(parts) == 4 && parts[0] == "acs" {
		resource = parts[3] // of any region
	}
	other := Object{Name: resource}
	rest, ok := strings.CutPrefix(other.Name, "projects/"+strings.ToLower(project))
	if !ok {
		return other
	}
	if rest == "" {
		return Object{Kind: acl.Project, Name: strings.ToLower(project)}
	}
	schema, inSchema := acl.DefaultSchema, false
	if after, ok := strings.CutPrefix(rest, "/schemas/"); ok {
		if schema, rest, inSchema = strings.Cut(after, "/"); !inSchema {
			return other
		}
		rest = "/" + rest
	}
	for _, kind := range acl.Kinds {
		name, ok := strings.CutPrefix(rest, "/"+segments[kind])
		if !ok || segments[kind] == "" || name == "" || strings.Contains(name, "/") || inSchema && !kind.HasSchema() {
			continue
		}
		return NewObject(kind, schema, name)
	}
	return other
}
