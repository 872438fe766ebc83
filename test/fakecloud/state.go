package fakecloud

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// historyLimit bounds how far back stale reads can look, in changes per project.
const historyLimit = 10000

const (
	typeResource = "resource"
	typeAdmin    = "admin"
)

// superAdministrator is the built-in role that may do everything.
const superAdministrator = "super_administrator"

// builtInRoles exist in every project and can't be dropped.
var builtInRoles = []string{"admin", superAdministrator}

// roleName is the documented rule: a letter, then letters, digits and underscores, 64 at most.
var roleName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// Project describes a project that the fake shall have.
type Project struct {
	// Name is folded to lower case.
	Name string `json:"name"`
	// ThreeTier switches the schema model on: project, schema, object.
	ThreeTier bool `json:"threeTier,omitempty"`
	// Strict makes the project refuse grants on objects and to principals that were not declared.
	Strict bool `json:"strict,omitempty"`
	// PolicyEcho is what becomes of a policy between its write and the next read. Default: as the
	// server has it.
	PolicyEcho PolicyEcho `json:"policyEcho,omitempty"`
	// Users are the principals in the project's user list.
	Users []string `json:"users,omitempty"`
	// Objects exist in the project. Only strict projects look at them. Actions are ignored.
	Objects []Grant `json:"objects,omitempty"`
}

type project struct {
	name      string
	threeTier bool
	strict    bool
	echo      PolicyEcho
	users     map[string]struct{}
	objects   map[object]struct{}
	// tables are those of the objects that were declared with their columns.
	tables map[object][]Column
	roles  map[string]*role
	// packages are by name if the project made them, by source.name if it installed them.
	packages map[string]*pkg
	// names are the sorted keys of roles; nil when they have to be sorted anew.
	names []string
	// list is what ListRoles answers now; nil when a role has changed since.
	list    *roleList
	history []revision
}

// roleList is the roles of a project at one moment, sorted. It is immutable, and rendered once.
type roleList struct {
	roles []*role
	once  sync.Once
	json  []byte
}

// object identifies what a strict project knows to exist.
type object struct{ kind, schema, name string }

// role is immutable once it is in a project: a change puts a new role in its place. Readers may
// therefore render a role after the lock is released, and an old role stays good for stale reads.
type role struct {
	name string
	typ  string
	// policy is the document as it was written, shown what readers see of it.
	policy, shown string
	acl           []Grant
	members       []string

	listOnce, aclOnce sync.Once
	listJSON, aclJSON []byte
}

func (r *role) withACL(acl []Grant) *role {
	return &role{name: r.name, typ: r.typ, policy: r.policy, shown: r.shown, acl: acl, members: r.members}
}

func (r *role) withMembers(members []string) *role {
	return &role{name: r.name, typ: r.typ, policy: r.policy, shown: r.shown, acl: r.acl, members: members}
}

func (r *role) withPolicy(policy string, echo PolicyEcho) *role {
	return &role{name: r.name, typ: r.typ, policy: policy, shown: echo.show(policy), acl: r.acl, members: r.members}
}

// revision remembers what a role, a package or an order was before one change; nil if it was not there.
type revision struct {
	number uint64
	seq    int
	// role, pkg, the key of a package, or order is what changed.
	role        string
	before      *role
	pkg         string
	beforePkg   *pkg
	order       string
	beforeOrder *order
}

func newProject(p Project) *project {
	out := &project{
		name: fold(p.Name), threeTier: p.ThreeTier, strict: p.Strict, echo: p.PolicyEcho,
		users: map[string]struct{}{}, objects: map[object]struct{}{}, tables: map[object][]Column{}, roles: map[string]*role{}, packages: map[string]*pkg{},
	}
	for _, name := range builtInRoles {
		out.roles[name] = &role{name: name, typ: typeAdmin}
	}
	return out
}

// sortedNames returns the names of all roles. The caller must not change the list.
func (p *project) sortedNames() []string {
	if p.names == nil {
		p.names = slices.Sorted(maps.Keys(p.roles))
	}
	return p.names
}

// set replaces, adds or (nil) removes a role.
func (p *project) set(name string, r *role) {
	_, had := p.roles[name]
	if r == nil {
		delete(p.roles, name)
	} else {
		p.roles[name] = r
	}
	if had != (r != nil) {
		p.names = nil
	}
	p.list = nil
}

// remember keeps what there was before a change.
func (p *project) remember(v revision) {
	if len(p.history) >= 2*historyLimit {
		p.history = slices.Clone(p.history[historyLimit:])
	}
	p.history = append(p.history, v)
}

// roleAt returns a role as it was before the given revision; 0 means now.
func (p *project) roleAt(name string, before uint64) *role {
	r := p.roles[name]
	for _, v := range p.since(before) {
		if v.role == name {
			return v.before
		}
	}
	return r
}

// rolesAt returns all roles, sorted, as they were before the given revision; 0 means now.
func (p *project) rolesAt(before uint64) *roleList {
	late := p.since(before)
	if len(late) == 0 {
		return p.rolesNow()
	}
	then := maps.Clone(p.roles)
	for _, v := range slices.Backward(late) {
		switch {
		case v.role == "":
		case v.before == nil:
			delete(then, v.role)
		default:
			then[v.role] = v.before
		}
	}
	out := &roleList{}
	for _, n := range slices.Sorted(maps.Keys(then)) {
		out.roles = append(out.roles, then[n])
	}
	return out
}

func (p *project) rolesNow() *roleList {
	if p.list != nil {
		return p.list
	}
	p.list = &roleList{}
	for _, n := range p.sortedNames() {
		p.list.roles = append(p.list.roles, p.roles[n])
	}
	return p.list
}

// since returns the changes from the given revision on, oldest first; none for 0.
func (p *project) since(number uint64) []revision {
	if number == 0 {
		return nil
	}
	i, _ := slices.BinarySearchFunc(p.history, number, func(v revision, n uint64) int {
		switch {
		case v.number < n:
			return -1
		case v.number > n:
			return 1
		}
		return 0
	})
	return p.history[i:]
}

// exists tells whether a strict project has an object. Wildcards always exist, and so does the project
// itself; other projects' packages do if they are installed.
func (p *project) exists(g Grant) bool {
	if !p.strict || strings.Contains(g.Name, "*") || g.Kind == "project" {
		return true
	}
	if g.Kind == "package" && p.packages[strings.TrimPrefix(fold(g.Name), p.name+".")] != nil {
		return true
	}
	_, ok := p.objects[objectOf(g)]
	return ok
}

func objectOf(g Grant) object {
	schema := fold(g.SchemaName)
	if schema == "" {
		schema = defaultSchema
	}
	return object{fold(g.Kind), schema, fold(g.Name)}
}

// txn is one hold of the lock by one call. Changes to roles and packages go through it, so that none is missing
// in the journal or in the history.
type txn struct {
	s       *Server
	c       *call
	seq     int
	changes []Change
	// ran tells that the operation was started at all.
	ran bool
	// ignored tells that a write was accepted and not made.
	ignored bool
	// trusted tells that the change comes behind the API's back: nobody is asked for permission.
	trusted bool
	// before is the revision that stale reads look back to; 0 means now.
	before uint64
}

// begin starts a transaction; the lock must be held. c is nil for changes behind the API's back.
func (s *Server) begin(c *call) *txn {
	return &txn{s: s, c: c, seq: s.journal.next()}
}

// project returns the call's project.
func (t *txn) project() (*project, *problem) {
	t.ran = true
	if p := t.s.projects[t.c.project]; p != nil {
		return p, nil
	}
	return nil, noProject(t.c)
}

// role returns a role of the call's project.
func (t *txn) role(name string) (*project, *role, *problem) {
	p, refusal := t.project()
	if refusal != nil {
		return nil, nil, refusal
	}
	r := p.roleAt(fold(name), t.before)
	if r == nil {
		return p, nil, noRole(t.c, name)
	}
	return p, r, nil
}

// put stores a role, or removes it if r is nil.
func (t *txn) put(p *project, name string, r *role) {
	t.s.revision++
	p.remember(revision{number: t.s.revision, seq: t.seq, role: name, before: p.roles[name]})
	p.set(name, r)
}

func (t *txn) changed(c Change) { t.changes = append(t.changes, c) }
