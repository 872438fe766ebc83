package controllers

import (
	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// specACL is what the spec lists, as a set. It is empty if the spec has no acl.
func specACL(role *v1alpha1.ProjectRole) acl.Set {
	spec := role.Spec.ACL
	if spec == nil {
		return acl.Set{}
	}
	var list []acl.Grant
	add := func(kind acl.Kind, schema, name string, actions []string) {
		list = append(list, acl.Grant{Kind: kind, Schema: schema, Name: name, Actions: actions})
	}
	for _, g := range spec.Tables {
		add(acl.Table, g.SchemaName, g.Name, g.Actions)
	}
	for _, g := range spec.Resources {
		add(acl.Resource, g.SchemaName, g.Name, g.Actions)
	}
	for _, g := range spec.Functions {
		add(acl.Function, g.SchemaName, g.Name, g.Actions)
	}
	for _, g := range spec.Packages {
		add(acl.Package, "", g.Name, g.Actions)
	}
	for _, g := range spec.Projects {
		add(acl.Project, "", g.Name, g.Actions)
	}
	for _, g := range spec.Instances {
		add(acl.Instance, "", g.Name, g.Actions)
	}
	return acl.NewSet(list...)
}

// inventory is what the object granted, or was about to grant, as a set.
func inventory(role *v1alpha1.ProjectRole) acl.Set {
	list := make([]acl.Grant, 0, len(role.Status.Applied))
	for _, e := range role.Status.Applied {
		list = append(list, acl.Grant{Kind: acl.Kind(e.Kind), Schema: e.SchemaName, Name: e.Name, Actions: e.Actions})
	}
	return acl.NewSet(list...)
}

// setInventory stores a set as the object's inventory. An inventory that means the same is left as it is written.
func setInventory(role *v1alpha1.ProjectRole, set acl.Set) {
	if set.Equal(inventory(role)) {
		return
	}
	role.Status.Applied = make([]v1alpha1.InventoryEntry, 0, set.Len())
	for _, g := range set.Grants() {
		role.Status.Applied = append(role.Status.Applied, v1alpha1.InventoryEntry{Kind: string(g.Kind), SchemaName: g.Schema, Name: g.Name, Actions: g.Actions})
	}
}

// steps makes one step per object of a set.
func steps(verb plan.Verb, set acl.Set) []plan.Step {
	var out []plan.Step
	for _, entry := range entries(set) {
		out = append(out, plan.Step{Verb: verb, Entry: entry})
	}
	return out
}

func entries(set acl.Set) []plan.Entry {
	var out []plan.Entry
	for _, g := range set.Grants() {
		out = append(out, plan.Entry{Kind: string(g.Kind), SchemaName: g.Schema, Name: g.Name, Actions: g.Actions})
	}
	return out
}

func grants(list ...plan.Entry) acl.Set {
	out := make([]acl.Grant, 0, len(list))
	for _, e := range list {
		out = append(out, grant(e))
	}
	return acl.NewSet(out...)
}

func grant(e plan.Entry) acl.Grant {
	return acl.Grant{Kind: acl.Kind(e.Kind), Schema: e.SchemaName, Name: e.Name, Actions: e.Actions}
}
