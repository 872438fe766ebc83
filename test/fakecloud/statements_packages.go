package fakecloud

import (
	"cmp"
	"strconv"
	"strings"
)

var (
	verbCreatePackage     = &verb{write: true, exec: execCreatePackage}
	verbDropPackage       = &verb{write: true, exec: execDropPackage}
	verbAddToPackage      = &verb{write: true, exec: execAddToPackage}
	verbRemoveFromPackage = &verb{write: true, exec: execRemoveFromPackage}
	verbAllowProject      = &verb{write: true, exec: execAllowProject}
	verbDisallowProject   = &verb{write: true, exec: execDisallowProject}
	// The service is known to refuse an INSTALL through an instance if there is no such package
	// (aliyun-odps-python-sdk, tests of security queries). That it does so for every reason is made up.
	verbInstallPackage   = &verb{write: true, failsLater: true, exec: execInstallPackage}
	verbUninstallPackage = &verb{write: true, exec: execUninstallPackage}
)

// packageName is a package as a statement names it.
type packageName struct {
	// source is the project in front of the name, if there is one.
	source, name string
	// installed tells that the package is one that was, or is to be, installed.
	installed bool
}

// from is the project that has made an installed package: the current one unless another is named.
func (n packageName) from(current string) string { return cmp.Or(n.source, current) }

// keyIn is the key of the package in the current project.
func (n packageName) keyIn(current string) string {
	if n.installed {
		return fold(n.from(current) + "." + n.name)
	}
	return fold(n.name)
}

// packageStatement reads the statements that only packages have.
func (p *parser) packageStatement() (*statement, *problem) {
	switch {
	case p.keyword("ADD"):
		return p.packageContents(verbAddToPackage, "TO")
	case p.keyword("REMOVE"):
		return p.packageContents(verbRemoveFromPackage, "FROM")
	case p.keyword("ALLOW"):
		return p.packageSharing(verbAllowProject)
	case p.keyword("DISALLOW"):
		return p.packageSharing(verbDisallowProject)
	case p.keyword("INSTALL"):
		return p.installation(verbInstallPackage)
	case p.keyword("UNINSTALL"):
		return p.installation(verbUninstallPackage)
	}
	return nil, parseProblem(p.peek())
}

func (p *parser) create() (*statement, *problem) {
	if p.peek().is("PACKAGE") {
		return p.aboutPackage(&statement{verb: verbCreatePackage})
	}
	return p.createRole()
}

func (p *parser) drop() (*statement, *problem) {
	if p.peek().is("PACKAGE") {
		return p.aboutPackage(&statement{verb: verbDropPackage})
	}
	return p.aboutRole(verbDropRole, "ROLE")
}

// aboutPackage reads some keywords, PACKAGE and a name.
func (p *parser) aboutPackage(st *statement, keywords ...string) (*statement, *problem) {
	if refusal := p.want(append(keywords, "PACKAGE")...); refusal != nil {
		return nil, refusal
	}
	name, refusal := p.word()
	st.pkg.name = name
	return st, refusal
}

// packageContents reads the rest of ADD type object TO PACKAGE name [WITH PRIVILEGES list] and of
// REMOVE type object FROM PACKAGE name.
func (p *parser) packageContents(v *verb, to string) (*statement, *problem) {
	kind := p.next()
	k := kindByName(kind.text)
	if kind.kind != tokenWord || k == nil {
		return nil, parseProblem(kind)
	}
	object, refusal := p.word()
	if refusal != nil {
		return nil, refusal
	}
	st, refusal := p.aboutPackage(&statement{verb: v, kind: k.name, object: object}, to)
	if refusal != nil || v != verbAddToPackage || !p.keyword("WITH") {
		return st, refusal
	}
	if refusal := p.want("PRIVILEGES"); refusal != nil {
		return nil, refusal
	}
	st.actions, refusal = p.words()
	return st, refusal
}

// packageSharing reads the rest of ALLOW PROJECT project TO INSTALL PACKAGE name [USING LABEL number] and
// of DISALLOW. The other options of the grammar are not supported.
func (p *parser) packageSharing(v *verb) (*statement, *problem) {
	if refusal := p.want("PROJECT"); refusal != nil {
		return nil, refusal
	}
	project, refusal := p.word()
	if refusal != nil {
		return nil, refusal
	}
	st, refusal := p.aboutPackage(&statement{verb: v, allowed: AllowedProject{Project: project}}, "TO", "INSTALL")
	if refusal != nil || v != verbAllowProject || !p.keyword("USING") {
		return st, refusal
	}
	if refusal := p.want("LABEL"); refusal != nil {
		return nil, refusal
	}
	at := p.peek()
	text, refusal := p.word()
	if refusal != nil {
		return nil, refusal
	}
	label, err := strconv.Atoi(text)
	if err != nil {
		return nil, parseProblem(at)
	}
	st.allowed.Label = label
	return st, nil
}

// installation reads the rest of INSTALL PACKAGE [project.]name.
func (p *parser) installation(v *verb) (*statement, *problem) {
	st, refusal := p.aboutPackage(&statement{verb: v})
	if refusal != nil {
		return nil, refusal
	}
	st.pkg.installed = true
	if source, name, qualified := strings.Cut(st.pkg.name, "."); qualified {
		st.pkg.source, st.pkg.name = source, name
	}
	return st, nil
}

func execCreatePackage(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.createPackage(st.pkg.name, nil)
}

func execDropPackage(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.dropPackage(st.pkg.name)
}

func execAddToPackage(t *txn, st *statement, set settings) (string, *problem) {
	g, p := objectInPackage(st, set)
	if p != nil {
		return "", p
	}
	return "", t.updatePackage(st.pkg.name, contents{resources: []Grant{g}}, contents{})
}

func execRemoveFromPackage(t *txn, st *statement, set settings) (string, *problem) {
	g, p := objectInPackage(st, set)
	if p != nil {
		return "", p
	}
	return "", t.updatePackage(st.pkg.name, contents{}, contents{resources: []Grant{g}})
}

// objectInPackage finds the schema of the object that a statement names. The documentation forbids the
// project's name in front of it. With the schema model switched on, a.b is b of schema a; of a resource,
// whose name may have dots of its own, only if a is the default schema of the settings, which is made up.
func objectInPackage(st *statement, set settings) (Grant, *problem) {
	g := Grant{Kind: st.kind, SchemaName: set.schema, Name: st.object, Actions: st.actions}
	if len(g.Actions) == 0 {
		g.Actions = defaultActions(st.kind)
	}
	first, rest, dotted := strings.Cut(st.object, ".")
	switch {
	case !dotted:
	case set.namespace && (st.kind != "resource" || fold(first) == set.schema):
		g.SchemaName, g.Name = fold(first), rest
	case st.kind == "table":
		return g, invalid("the name of table '%s' must not be qualified", st.object)
	}
	return g, nil
}

// defaultActions are documented ("Alibaba Cloud documentation: ADD TO PACKAGE").
func defaultActions(kind string) []string {
	if kind == "table" {
		return []string{"Describe", "Select"}
	}
	return []string{"Read"}
}

func execAllowProject(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.updatePackage(st.pkg.name, contents{allowed: []AllowedProject{st.allowed}}, contents{})
}

func execDisallowProject(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.updatePackage(st.pkg.name, contents{}, contents{allowed: []AllowedProject{st.allowed}})
}

func execInstallPackage(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.install(st.pkg.from(t.c.project), st.pkg.name)
}

func execUninstallPackage(t *txn, st *statement, _ settings) (string, *problem) {
	return "", t.uninstall(st.pkg.from(t.c.project), st.pkg.name)
}
