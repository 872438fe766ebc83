package access

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// Holding is what somebody may do with an object.
type Holding struct {
	Object  Object
	Actions []Action
}

// Action is one action on the object.
type Action struct {
	Name    string
	Verdict Verdict
	Chains  []Chain
}

// Principal is somebody who has roles, or was granted a request.
type Principal struct {
	Name string
	// Roles are those that it has, in the order of the project's, and Memberships the state of its having each.
	Roles       []*Role
	Memberships []State
	Requests    []*Request
}

// Principals are all who have a role or were granted a request, sorted by name.
func (p *Project) Principals() []*Principal {
	found := map[string]*Principal{}
	of := func(key, name string) *Principal {
		if found[key] == nil {
			found[key] = &Principal{Name: name}
		}
		return found[key]
	}
	for _, r := range p.Roles {
		for _, m := range r.members {
			who := of(m.key, m.name)
			who.Roles, who.Memberships = append(who.Roles, r), append(who.Memberships, m.state)
		}
	}
	for _, r := range p.Requests {
		for _, account := range r.Accounts {
			who := of(Key(account), account)
			who.Requests = append(who.Requests, r)
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *Principal) int { return cmp.Compare(a.Name, b.Name) })
}

// sources are all that gives or denies something to the principal.
func (w *Principal) sources() []*Source {
	var all []*Source
	for _, r := range w.Roles {
		all = append(all, r.sources...)
	}
	for _, r := range w.Requests {
		all = append(all, r.sources...)
	}
	return all
}

// WhatCan tells what a principal may do with each object that its roles and requests name; who is nil if it has none of either.
func (p *Project) WhatCan(name string) (holdings []Holding, who *Principal) {
	for _, who := range p.Principals() {
		if Key(who.Name) == Key(name) {
			return p.whatCan(who), who
		}
	}
	return nil, nil
}

func (p *Project) whatCan(who *Principal) []Holding {
	t := newTable(p, who.sources())
	var holdings []Holding
	for i, actions := range t.Of(who) {
		if len(actions) == 0 {
			continue
		}
		for _, action := range actions {
			for j := range action.Chains {
				action.Chains[j].Membership = who.membership(action.Chains[j].Role)
			}
		}
		holdings = append(holdings, Holding{Object: t.Objects[i], Actions: actions})
	}
	return holdings
}

// Reads tells whether a principal may read a package, by whatever; given tells whether something gives that at all.
func (p *Project) Reads(who *Principal, installed Installed) (verdict Verdict, given bool) {
	return decide(reaching(who.sources(), p.about(NewObject(acl.Package, "", installed.String())).asking(packageAction)))
}

func (w *Principal) membership(r *Role) State {
	if i := slices.Index(w.Roles, r); i >= 0 {
		return w.Memberships[i]
	}
	return ""
}

// Table evaluates objects for many principals: what a role does about an object is found out once.
type Table struct {
	// Objects are all that is named anywhere, in order.
	Objects []Object

	// questions are about the Objects.
	questions []question
	roles     map[*Role][][]touch
	requests  map[*Request][][]touch
}

// touch is a source that reaches an action on an object.
type touch struct {
	action string
	chain  Chain
}

// mayGive tells of everything but a Deny: where nothing else is, nothing has to be weighed.
func (t touch) mayGive() bool { return t.chain.Effect != Deny }

// Table makes the table of all that the roles and requests of the project name. Built-in roles name nothing of their own.
func (p *Project) Table() *Table {
	var all []*Source
	for _, r := range p.Roles {
		all = append(all, slices.DeleteFunc(slices.Clone(r.sources), func(s *Source) bool { return s.builtIn })...)
	}
	for _, r := range p.Requests {
		all = append(all, r.sources...)
	}
	return newTable(p, all)
}

// newTable makes the table of what some sources name.
func newTable(p *Project, sources []*Source) *Table {
	t := &Table{roles: map[*Role][][]touch{}, requests: map[*Request][][]touch{}}
	named := map[Object]bool{}
	for _, s := range sources {
		for _, o := range s.objects(p.Name) {
			named[o] = true
		}
	}
	t.Objects = slices.SortedFunc(maps.Keys(named), Object.Compare)
	for _, o := range t.Objects {
		t.questions = append(t.questions, p.about(o))
	}
	return t
}

// Of returns what principals with the same roles and requests may do, for each of Objects; nil where they may do nothing. Of objects that
// stand for many, it also returns what is only denied. The chains do not tell memberships.
func (t *Table) Of(who *Principal) [][]Action {
	columns := make([][][]touch, 0, len(who.Roles)+len(who.Requests))
	for _, r := range who.Roles {
		columns = append(columns, remembered(t.roles, r, func() [][]touch { return t.touches(r.about) }))
	}
	for _, r := range who.Requests {
		columns = append(columns, remembered(t.requests, r, func() [][]touch {
			return t.touches(func(Object) []*Source { return r.sources })
		}))
	}
	actions := make([][]Action, len(t.Objects))
	for i, o := range t.Objects {
		// What is denied of many may be given for some of them, by a pattern that only overlaps: it must not be left out.
		many := strings.Contains(o.Name, "*")
		if !many && !slices.ContainsFunc(columns, func(column [][]touch) bool { return slices.ContainsFunc(column[i], touch.mayGive) }) {
			continue
		}
		found := map[string][]Chain{}
		for _, column := range columns {
			for _, touch := range column[i] {
				found[touch.action] = append(found[touch.action], touch.chain)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if verdict, given := decide(found[name]); given || many {
				actions[i] = append(actions[i], Action{Name: name, Verdict: verdict, Chains: found[name]})
			}
		}
	}
	return actions
}

func remembered[K comparable](known map[K][][]touch, key K, find func() [][]touch) [][]touch {
	if known[key] == nil {
		known[key] = find()
	}
	return known[key]
}

// touches are what sources do about each object.
func (t *Table) touches(about func(Object) []*Source) [][]touch {
	touches := make([][]touch, len(t.Objects))
	for i, q := range t.questions {
		for _, s := range about(q.Object) {
			for _, action := range s.candidates(q) {
				if reach, doubt := s.reach(q.asking(action)); reach != acl.Outside {
					touches[i] = append(touches[i], touch{action, Chain{Source: s, Doubt: doubt}})
				}
			}
		}
	}
	return touches
}
