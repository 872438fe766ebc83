package fakecloud

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// bindCreatePackage: see "Alibaba Cloud documentation: CreatePackage". What the body is to be with
// isInstall=true is documented nowhere, so a client must not try.
func bindCreatePackage(r request) (operation, *problem) {
	if install := r.query.Get("isInstall"); r.query.Has("isInstall") && install != "false" {
		return nil, unknown("CreatePackage: isInstall is %q, want false", install)
	}
	fields, p := parseObject(r.body, "name", "resourceList")
	if p != nil {
		return nil, p
	}
	name, p := fields.text("name")
	if p != nil {
		return nil, p
	}
	resources, p := parseResources(fields, "name", "actions")
	if p != nil {
		return nil, p
	}
	r.call.pkg = fold(name)
	return func(t *txn) (answer, *problem) { return success(), t.createPackage(name, resources) }, nil
}

// parseResources reads the three lists of resourceList. Their entries have no schemaName, so an object
// outside the default schema can't be named.
func parseResources(f fields, members ...string) ([]Grant, *problem) {
	raw, ok := f["resourceList"]
	if !ok {
		return nil, nil
	}
	kinds, p := parseObject(raw, packageKinds...)
	if p != nil {
		return nil, p
	}
	var out []Grant
	for _, kind := range packageKinds {
		entries, p := kinds.list(kind)
		if p != nil {
			return nil, p
		}
		for _, e := range entries {
			entry, p := parseObject(e, members...)
			if p != nil {
				return nil, p
			}
			g := Grant{Kind: kind}
			if g.Name, p = entry.text("name"); p != nil {
				return nil, p
			}
			if g.Actions, p = entry.texts("actions"); p != nil {
				return nil, p
			}
			out = append(out, g)
		}
	}
	return out, nil
}

// bindUpdatePackage: see "Alibaba Cloud documentation: UpdatePackage". Only the documented shape is taken:
// entries to remove have names only, and labels are texts.
func bindUpdatePackage(r request) (operation, *problem) {
	add, remove, p := parseUpdatePackage(r.body)
	if p != nil {
		p.message, p.violation = "UpdatePackage: "+p.message, true
		return nil, p
	}
	return func(t *txn) (answer, *problem) { return success(), t.updatePackage(r.pkg, add, remove) }, nil
}

func parseUpdatePackage(body []byte) (add, remove contents, p *problem) {
	halves, p := parseObject(body, "add", "remove")
	if p != nil {
		return add, remove, p
	}
	if raw, ok := halves["add"]; ok {
		if add, p = parseContents(raw, []string{"name", "actions"}, []string{"project", "label"}); p != nil {
			return add, remove, p
		}
	}
	if raw, ok := halves["remove"]; ok {
		if remove, p = parseContents(raw, []string{"name"}, []string{"project"}); p != nil {
			return add, remove, p
		}
	}
	if len(add.resources)+len(add.allowed)+len(remove.resources)+len(remove.allowed) == 0 {
		return add, remove, badBody("there is nothing to add or remove")
	}
	return add, remove, nil
}

func parseContents(raw []byte, resource, allowed []string) (contents, *problem) {
	var out contents
	half, p := parseObject(raw, "allowedProjectList", "resourceList")
	if p != nil {
		return out, p
	}
	if out.resources, p = parseResources(half, resource...); p != nil {
		return out, p
	}
	entries, p := half.list("allowedProjectList")
	if p != nil {
		return out, p
	}
	for _, e := range entries {
		a, p := parseAllowed(e, allowed)
		if p != nil {
			return out, p
		}
		out.allowed = append(out.allowed, a)
	}
	return out, nil
}

func parseAllowed(raw []byte, members []string) (AllowedProject, *problem) {
	var a AllowedProject
	entry, p := parseObject(raw, members...)
	if p != nil {
		return a, p
	}
	if a.Project, p = entry.text("project"); p != nil {
		return a, p
	}
	label, p := entry.text("label")
	if p != nil || label == "" {
		return a, p
	}
	n, err := strconv.Atoi(label)
	if err != nil {
		return a, badBody("label %q is not a number", label)
	}
	a.Label = n
	return a, nil
}

type allowedEntry struct {
	// Label is a text or a number.
	Label   any    `json:"label"`
	Project string `json:"project"`
}

type resourceLists struct {
	Table    []aclEntry `json:"table"`
	Resource []aclEntry `json:"resource"`
	Function []aclEntry `json:"function"`
}

type packageDocument struct {
	Allowed   []allowedEntry `json:"allowedProjectList"`
	Resources resourceLists  `json:"resourceList"`
}

func (k *pkg) document(style PackageStyle) packageDocument {
	lists := map[string][]aclEntry{}
	for _, kind := range packageKinds {
		lists[kind] = []aclEntry{}
	}
	for _, g := range k.resources {
		lists[g.Kind] = append(lists[g.Kind], aclEntry{Name: g.Name, SchemaName: g.SchemaName, Actions: g.Actions})
	}
	out := packageDocument{
		Allowed:   []allowedEntry{},
		Resources: resourceLists{Table: lists["table"], Resource: lists["resource"], Function: lists["function"]},
	}
	for _, a := range k.allowed {
		e := allowedEntry{Label: strconv.Itoa(a.Label), Project: a.Project}
		if style.LabelNumbers {
			e.Label = a.Label
		}
		out.Allowed = append(out.Allowed, e)
	}
	return out
}

// bindGetPackage: see "Alibaba Cloud documentation: GetPackage".
func bindGetPackage(r request) (operation, *problem) {
	source := r.query.Get("sourceProject")
	if source != "" {
		r.call.pkg = fold(source + "." + r.pkg)
	}
	return func(t *txn) (answer, *problem) {
		k, refusal := t.getPackage(source, r.pkg)
		if refusal != nil {
			return answer{}, refusal
		}
		document := k.document(t.s.packages)
		return answer{details: true, render: func() []byte { return mustJSON(document) }}, nil
	}, nil
}

// getPackage returns a package that the project has made, or one that it has installed as far as it may
// see it. The documentation demands the source project for the latter; the code if it is missing is made
// up, and so is what there is to see of a package that is not shared any more.
func (t *txn) getPackage(source, name string) (*pkg, *problem) {
	if source == "" {
		p, k, refusal := t.pkg(name)
		if refusal != nil && p != nil && slices.ContainsFunc(p.installations(), func(i Installation) bool { return i.Name == fold(name) }) {
			return nil, badBody("sourceProject is missing: the package '%s' is an installed one", name)
		}
		return k, refusal
	}
	p, k, refusal := t.installed(source, name)
	switch {
	case refusal != nil:
		return nil, refusal
	case k.status == StatusSourceDropped:
		return nil, noPackage(t.c, k.key())
	case k.status == StatusSourceNotAllowed:
		return nil, refuse(http.StatusForbidden, codeAccessDenied, "Access Denied - project '%s' is not allowed to use package '%s'", p.name, k.key())
	}
	if from := t.s.projects[k.source]; from != nil && from.packages[k.name] != nil {
		return &pkg{name: k.name, resources: from.packages[k.name].resources}, nil
	}
	return nil, noPackage(t.c, k.key()) // an old state was asked for, and the package is gone by now
}

type createdEntry struct {
	Name       string `json:"name"`
	CreateTime any    `json:"createTime"`
}

type installedEntry struct {
	Name          string `json:"name"`
	SourceProject string `json:"sourceProject"`
	Status        string `json:"status"`
	InstallTime   any    `json:"installTime"`
}

type packageList struct {
	Created   []createdEntry   `json:"createdPackages"`
	Installed []installedEntry `json:"installedPackages"`
}

// bindListPackages: see "Alibaba Cloud documentation: ListPackages".
func bindListPackages(request) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		p, refusal := t.project()
		if refusal != nil {
			return answer{}, refusal
		}
		list := packageList{Created: []createdEntry{}, Installed: []installedEntry{}}
		for _, k := range p.packagesAt(t.before) {
			since := t.s.packages.Times.spell(k.since)
			if k.source == "" {
				list.Created = append(list.Created, createdEntry{Name: k.name, CreateTime: since})
				continue
			}
			list.Installed = append(list.Installed, installedEntry{Name: k.name, SourceProject: k.source, Status: k.status, InstallTime: since})
		}
		return answer{render: func() []byte { return mustJSON(list) }}, nil
	}, nil
}

func (s TimeSpelling) spell(t time.Time) any {
	switch s {
	case TimesSeconds:
		return t.Unix()
	case TimesText:
		return strconv.FormatInt(t.UnixMilli(), 10)
	case TimesISO:
		return t.UTC().Format(time.RFC3339)
	case TimesMilliseconds:
	}
	return t.UnixMilli()
}
