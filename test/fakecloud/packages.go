package fakecloud

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The states of an installed package. Only OK is documented; the others are made up, and so is when they
// come about: what a consumer sees when the package is taken away from it is told nowhere.
const (
	StatusOK = "OK"
	// StatusSourceNotAllowed: the project is no longer allowed to install the package. It ends when the
	// project is allowed again.
	StatusSourceNotAllowed = "SOURCE_NOT_ALLOWED"
	// StatusSourceDropped: the package was dropped, or its project removed. A new package of that name is
	// another one, so it never ends.
	StatusSourceDropped = "SOURCE_DROPPED"
)

const (
	// maxResources is documented ("Alibaba Cloud documentation: INSTALL PACKAGE").
	maxResources = 1000
	// maxLabel is documented ("Alibaba Cloud documentation: Label-based access control").
	maxLabel = 9
	// anyProject allows all projects.
	anyProject = "*"
)

var (
	// packagePattern is the documented length of 128 with the characters of other names.
	packagePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	allowedPattern = regexp.MustCompile(`^(\*|[A-Za-z_][A-Za-z0-9_]*)$`)
)

// packageKinds are the kinds that the OpenAPI's bodies have.
var packageKinds = []string{"table", "resource", "function"}

// AllowedProject is a project that may install a package, or "*" for all, with the highest label of the
// data that it may read.
type AllowedProject struct {
	Project string `json:"project"`
	Label   int    `json:"label"`
}

// Installation is a package that a project has installed.
type Installation struct {
	SourceProject string    `json:"sourceProject"`
	Name          string    `json:"name"`
	Status        string    `json:"status"`
	InstallTime   time.Time `json:"installTime"`
}

// pkg is a package that a project has made, or one that it has installed. Like a role, it is immutable
// once it is in a project.
type pkg struct {
	name string
	// source is the project that made an installed package; empty in that project itself.
	source string
	// status is that of an installed package.
	status string
	// since is when it was made or installed.
	since time.Time
	// resources and allowed are those of a package that was made here, sorted.
	resources []Grant
	allowed   []AllowedProject
}

func (k *pkg) key() string {
	if k.source == "" {
		return k.name
	}
	return k.source + "." + k.name
}

// allows tells whether a project may install the package.
func (k *pkg) allows(projectName string) bool {
	return slices.ContainsFunc(k.allowed, func(a AllowedProject) bool { return a.Project == anyProject || a.Project == projectName })
}

// packageAt returns a package as it was before the given revision; 0 means now.
func (p *project) packageAt(key string, before uint64) *pkg {
	for _, v := range p.since(before) {
		if v.pkg == key {
			return v.beforePkg
		}
	}
	return p.packages[key]
}

// packagesAt returns all packages, sorted, as they were before the given revision; 0 means now.
func (p *project) packagesAt(before uint64) []*pkg {
	then := maps.Clone(p.packages)
	for _, v := range slices.Backward(p.since(before)) {
		switch {
		case v.pkg == "":
		case v.beforePkg == nil:
			delete(then, v.pkg)
		default:
			then[v.pkg] = v.beforePkg
		}
	}
	return slices.SortedFunc(maps.Values(then), func(a, b *pkg) int { return strings.Compare(a.key(), b.key()) })
}

func (p *project) installations() []Installation {
	out := []Installation{}
	for _, k := range p.packagesAt(0) {
		if k.source != "" {
			out = append(out, Installation{SourceProject: k.source, Name: k.name, Status: k.status, InstallTime: k.since})
		}
	}
	return out
}

// pkg returns a package that the call's project has made.
func (t *txn) pkg(name string) (*project, *pkg, *problem) {
	p, refusal := t.project()
	if refusal != nil {
		return nil, nil, refusal
	}
	k := p.packageAt(fold(name), t.before)
	if k == nil || k.source != "" {
		return p, nil, noPackage(t.c, name)
	}
	return p, k, nil
}

// installed returns a package that the call's project has installed.
func (t *txn) installed(source, name string) (*project, *pkg, *problem) {
	p, refusal := t.project()
	if refusal != nil {
		return nil, nil, refusal
	}
	key := fold(source + "." + name)
	k := p.packageAt(key, t.before)
	if k == nil {
		return p, nil, noPackage(t.c, key)
	}
	return p, k, nil
}

// putPackage stores a package, or removes it if k is nil.
func (t *txn) putPackage(p *project, key string, k *pkg) {
	t.s.revision++
	p.remember(revision{number: t.s.revision, seq: t.seq, pkg: key, beforePkg: p.packages[key]})
	if k == nil {
		delete(p.packages, key)
		return
	}
	p.packages[key] = k
}

// createPackage refuses the whole request if any part of it is wrong.
func (t *txn) createPackage(name string, resources []Grant) *problem {
	p, refusal := t.project()
	switch {
	case refusal != nil:
		return refusal
	case !packagePattern.MatchString(name):
		return invalid("invalid package name '%s'", name)
	case p.packages[fold(name)] != nil:
		return alreadyExists(t.c, t.s.exists, "package", name)
	}
	k := &pkg{name: fold(name), since: t.s.now()}
	return t.together(
		func() *problem { t.changed(Change{Change: ChangeCreatePackage, Package: k.name}); return nil },
		func() *problem { return t.addResources(p, k, resources) },
		func() *problem { t.putPackage(p, k.name, k); return nil },
	)
}

// together takes steps until one is refused; then it is as if none had been taken. Only the last may put
// something into a project.
func (t *txn) together(steps ...func() *problem) *problem {
	before := len(t.changes)
	for _, step := range steps {
		if refusal := step(); refusal != nil {
			t.changes = t.changes[:before]
			return refusal
		}
	}
	return nil
}

// contents is one half of an UpdatePackage.
type contents struct {
	resources []Grant
	allowed   []AllowedProject
}

// updatePackage adds, then removes; the order is made up. Nothing happens unless all of it can.
func (t *txn) updatePackage(name string, add, remove contents) *problem {
	p, k, refusal := t.pkg(name)
	if refusal != nil {
		return refusal
	}
	next, before := *k, len(t.changes)
	return t.together(
		func() *problem { return t.addResources(p, &next, add.resources) },
		func() *problem { return t.allow(&next, add.allowed) },
		func() *problem { return t.removeResources(&next, remove.resources) },
		func() *problem { return t.disallow(&next, remove.allowed) },
		func() *problem {
			if len(t.changes) > before {
				t.putPackage(p, k.name, &next)
				t.refreshStatus(p.name, k.name)
			}
			return nil
		},
	)
}

// addResources puts objects into a package that is not in a project yet. One that is there can't get
// other actions ("Alibaba Cloud documentation: ADD TO PACKAGE"). That it may be added just as it is, is
// made up.
func (t *txn) addResources(p *project, k *pkg, resources []Grant) *problem {
	for _, g := range resources {
		canon, refusal := t.packageable(p, g)
		if refusal != nil {
			return refusal
		}
		i, found := slices.BinarySearchFunc(k.resources, canon, compareObjects)
		switch {
		case found && slices.Equal(k.resources[i].Actions, canon.Actions):
			continue
		case found:
			return invalid("%s %s already exists in package %s", canon.Kind, canon.Name, k.name)
		case len(k.resources) == maxResources:
			return invalid("package %s has more than %d resources", k.name, maxResources)
		}
		k.resources = slices.Insert(slices.Clone(k.resources), i, canon)
		t.changed(resourceChange(ChangeAddResource, k, canon))
	}
	return nil
}

// packageable checks that an object may be put into a package.
func (t *txn) packageable(p *project, g Grant) (Grant, *problem) {
	canon, refusal := canonical(g)
	switch {
	case refusal != nil:
		return Grant{}, refusal
	case !slices.Contains(packageKinds, canon.Kind):
		return Grant{}, invalid("a package can't have objects of type %s", canon.Kind)
	case canon.SchemaName != defaultSchema && !p.threeTier:
		return Grant{}, invalid("project %s has no schemas", p.name)
	case !p.exists(canon):
		return Grant{}, noObject(t.c, canon)
	}
	return canon, nil
}

// removeResources takes objects out of a package, with all their actions. That one which is not there
// does not matter is made up.
func (t *txn) removeResources(k *pkg, resources []Grant) *problem {
	for _, g := range resources {
		g.Actions = []string{"All"}
		canon, refusal := canonical(g)
		if refusal != nil {
			return refusal
		}
		if i, found := slices.BinarySearchFunc(k.resources, canon, compareObjects); found {
			t.changed(resourceChange(ChangeRemoveResource, k, k.resources[i]))
			k.resources = slices.Delete(slices.Clone(k.resources), i, i+1)
		}
	}
	return nil
}

func resourceChange(change string, k *pkg, g Grant) Change {
	c := grantChange(change, "", g, g.Actions)
	c.Package = k.name
	return c
}

// allow lets projects install a package. Whether they exist is not asked, which is made up.
func (t *txn) allow(k *pkg, projects []AllowedProject) *problem {
	for _, a := range projects {
		if refusal := checkAllowed(a); refusal != nil {
			return refusal
		}
		a.Project = fold(a.Project)
		i, found := slices.BinarySearchFunc(k.allowed, a, compareAllowed)
		switch {
		case found && k.allowed[i].Label == a.Label:
			continue
		case found:
			skip, refusal := t.relabel(k, a)
			if refusal != nil {
				return refusal
			}
			if skip {
				continue
			}
			k.allowed = slices.Clone(k.allowed)
			k.allowed[i] = a
		default:
			k.allowed = slices.Insert(slices.Clone(k.allowed), i, a)
		}
		t.changed(Change{Change: ChangeAllowProject, Package: k.name, Allowed: a.Project, Label: a.Label})
	}
	return nil
}

// relabel decides what becomes of another label for a project that is allowed already.
func (t *txn) relabel(k *pkg, a AllowedProject) (skip bool, refusal *problem) {
	switch {
	case t.trusted:
	case t.s.packages.Relabel == RelabelRefuse:
		return false, invalid("project %s is already allowed to install package %s", a.Project, k.name)
	case t.s.packages.Relabel == RelabelIgnore:
		return true, nil
	}
	return false, nil
}

func checkAllowed(a AllowedProject) *problem {
	switch {
	case !allowedPattern.MatchString(a.Project):
		return invalid("invalid project name '%s'", a.Project)
	case a.Label < 0 || a.Label > maxLabel:
		return invalid("invalid label %d", a.Label)
	}
	return nil
}

func compareAllowed(a, b AllowedProject) int { return strings.Compare(a.Project, b.Project) }

// disallow takes that back. That a project which was not allowed does not matter is made up.
func (t *txn) disallow(k *pkg, projects []AllowedProject) *problem {
	for _, a := range projects {
		if refusal := checkAllowed(a); refusal != nil {
			return refusal
		}
		a.Project = fold(a.Project)
		if i, found := slices.BinarySearchFunc(k.allowed, a, compareAllowed); found {
			k.allowed = slices.Delete(slices.Clone(k.allowed), i, i+1)
			t.changed(Change{Change: ChangeDisallowProject, Package: k.name, Allowed: a.Project})
		}
	}
	return nil
}

// dropPackage removes a package, whoever has it installed, and silently every grant on it ("Alibaba Cloud
// documentation: DROP PACKAGE"). That the installations stay is made up.
func (t *txn) dropPackage(name string) *problem {
	p, k, refusal := t.pkg(name)
	if refusal != nil {
		return refusal
	}
	t.changed(Change{Change: ChangeDropPackage, Package: k.name})
	t.putPackage(p, k.name, nil)
	t.dropGrants(p, object{"package", defaultSchema, k.name})
	for _, consumer := range sortedKeys(t.s.projects) {
		t.dropGrants(t.s.projects[consumer], object{"package", defaultSchema, p.name + "." + k.name})
	}
	t.refreshStatus(p.name, k.name)
	return nil
}

// install looks at the source as it is now. That an installation without a source has to be uninstalled
// first is made up.
func (t *txn) install(source, name string) *problem {
	p, refusal := t.project()
	if refusal != nil {
		return refusal
	}
	k := &pkg{name: fold(name), source: fold(source), status: StatusOK, since: t.s.now()}
	if p.packages[k.key()] != nil {
		return alreadyExists(t.c, t.s.exists, "package", k.key())
	}
	if refusal := t.installable(p, k); refusal != nil {
		return refusal
	}
	t.changed(Change{Change: ChangeInstall, Package: k.key()})
	t.putPackage(p, k.key(), k)
	return nil
}

// installable checks that the source has the package and shares it. The texts are made up, and so is the
// code for a package that is not shared.
func (t *txn) installable(p *project, k *pkg) *problem {
	from := t.s.projects[k.source]
	switch {
	case from == nil:
		return refuse(http.StatusNotFound, noProject(t.c).code, "project not found - '%s'", k.source)
	case from.packages[k.name] == nil:
		return noPackage(t.c, k.key())
	case !from.packages[k.name].allows(p.name):
		return refuse(http.StatusForbidden, codeAccessDenied, "Access Denied - project '%s' is not allowed to install package '%s'", p.name, k.key())
	}
	return nil
}

// uninstall removes an installation, and silently every grant on it. The latter is made up.
func (t *txn) uninstall(source, name string) *problem {
	p, k, refusal := t.installed(source, name)
	if refusal != nil {
		return refusal
	}
	t.changed(Change{Change: ChangeUninstall, Package: k.key()})
	t.putPackage(p, k.key(), nil)
	t.dropGrants(p, object{"package", defaultSchema, k.key()})
	return nil
}

// refreshStatus makes the installations of a package say what has become of it.
func (t *txn) refreshStatus(source, name string) {
	for _, consumer := range sortedKeys(t.s.projects) {
		p := t.s.projects[consumer]
		k := p.packages[source+"."+name]
		if k == nil {
			continue
		}
		if status := t.statusOf(p, k); status != k.status {
			next := *k
			next.status = status
			t.putPackage(p, k.key(), &next)
		}
	}
}

func (t *txn) statusOf(p *project, k *pkg) string {
	from := t.s.projects[k.source]
	switch {
	case k.status == StatusSourceDropped, from == nil, from.packages[k.name] == nil:
		return StatusSourceDropped
	case !from.packages[k.name].allows(p.name):
		return StatusSourceNotAllowed
	}
	return StatusOK
}

// dropEntries takes an object that is no more out of the packages of its project.
func (t *txn) dropEntries(p *project, o object) {
	for _, k := range p.packagesAt(0) {
		next := *k
		next.resources = slices.DeleteFunc(slices.Clone(k.resources), func(g Grant) bool { return objectOf(g) == o })
		if len(next.resources) < len(k.resources) {
			t.putPackage(p, k.key(), &next)
		}
	}
}
