package access

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// Chain is how a principal comes to something: by a role that it has, or by a request.
type Chain struct {
	*Source
	// Membership is the state of the principal's having the role; empty for a request.
	Membership State
	// Package is the package of another project through which it is; empty if it is an object of this one.
	Package string
	// Doubt is why it cannot be told whether the source applies; empty if it does.
	Doubt string
}

// Holder is who an answer is about.
type Holder struct {
	Principal string
	Verdict   Verdict
	Chains    []Chain
}

// Share is a project that may install a package of this one which holds what was asked for. Its own roles decide who may read it.
type Share struct {
	Package, Project string
	Label            int
}

// Answer is who may do something.
type Answer struct {
	// Holders are those who may, may perhaps, and would if it was not denied, sorted by principal.
	Holders []Holder
	Shares  []Share
	// Unseen are the roles that matter and whose members are not known.
	Unseen []string
}

// Concerned returns the roles that give or deny an action on an object, or may do so.
func (p *Project) Concerned(action string, o Object) []*Role {
	q := p.about(o).asking(action)
	var found []*Role
	for _, r := range p.Roles {
		if len(r.chains(q)) > 0 {
			found = append(found, r)
		}
	}
	return found
}

// chains are the sources of a role that reach what is asked for.
func (r *Role) chains(q question) []Chain { return reaching(r.about(q.Object), q) }

func reaching(sources []*Source, q question) []Chain {
	var found []Chain
	for _, s := range sources {
		if reach, doubt := s.reach(q); reach != acl.Outside {
			found = append(found, Chain{Source: s, Doubt: doubt})
		}
	}
	return found
}

// WhoCan tells who may do an action, spelt as the vendor does, with an object of the project.
func (p *Project) WhoCan(action string, o Object) Answer {
	b := &answers{found: map[string]*Holder{}}
	p.gather(b, action, o, "")
	return Answer{Holders: b.holders(), Unseen: b.unseen, Shares: p.shares(action, o)}
}

// WhoCanThrough tells who may do an action with an object of another project, through the packages of it that are installed.
func (p *Project) WhoCanThrough(sourceProject, action string, o Object) Answer {
	b := &answers{found: map[string]*Holder{}}
	for _, installed := range p.through(sourceProject, action, o) {
		name := installed.String()
		p.gather(b, packageAction, NewObject(acl.Package, "", name), name)
	}
	return Answer{Holders: b.holders(), Unseen: b.unseen}
}

// packageAction is what it takes to use a package.
const packageAction = "Read"

// String names the package as other projects do.
func (i Installed) String() string { return i.SourceProject + "." + i.Name }

// ConcernedThrough returns the roles that matter to WhoCanThrough, each once.
func (p *Project) ConcernedThrough(sourceProject, action string, o Object) []*Role {
	var found []*Role
	for _, installed := range p.through(sourceProject, action, o) {
		for _, r := range p.Concerned(packageAction, NewObject(acl.Package, "", installed.String())) {
			if !slices.Contains(found, r) {
				found = append(found, r)
			}
		}
	}
	return found
}

func (p *Project) through(sourceProject, action string, o Object) []Installed {
	var found []Installed
	for _, installed := range p.Installed {
		if strings.EqualFold(installed.SourceProject, sourceProject) && holds(installed.Contents, action, o) {
			found = append(found, installed)
		}
	}
	return found
}

func holds(contents acl.Set, action string, o Object) bool {
	return slices.ContainsFunc(contents.Grants(), func(entry acl.Grant) bool {
		s := Source{entry: entry, on: NewObject(entry.Kind, entry.Schema, entry.Name)}
		return s.covers(o) && slices.Contains(entry.Actions, action)
	})
}

func (p *Project) shares(action string, o Object) []Share {
	var found []Share
	for _, created := range p.Created {
		if !holds(created.Contents, action, o) {
			continue
		}
		for _, share := range created.Shares.List() {
			found = append(found, Share{Package: created.Name, Project: share.Project, Label: share.Label})
		}
	}
	return found
}

// answers collects what is found, by principal.
type answers struct {
	found  map[string]*Holder
	unseen []string
}

// gather adds all who have to do with an action on an object.
func (p *Project) gather(b *answers, action string, o Object, pkg string) {
	q := p.about(o).asking(action)
	for _, r := range p.Roles {
		chains := r.chains(q)
		if len(chains) == 0 {
			continue
		}
		if !r.known {
			b.unseen = append(b.unseen, fmt.Sprintf("who has role %s, which %s", r.Name, does(chains)))
			continue
		}
		for _, m := range r.members {
			for _, c := range chains {
				c.Membership, c.Package = m.state, pkg
				b.add(m.key, m.name, c)
			}
		}
	}
	if pkg != "" {
		return
	}
	for _, r := range p.Requests {
		for _, c := range reaching(r.sources, q) {
			for _, account := range r.Accounts {
				b.add(Key(account), account, c)
			}
		}
	}
}

// does says in words what sources do.
func does(chains []Chain) string {
	effects := map[string]bool{}
	for _, c := range chains {
		word := map[Effect]string{Allow: "gives it", Deny: "denies it"}[c.Effect]
		if c.Doubt != "" || word == "" {
			word = "may give or deny it"
		}
		effects[word] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(effects)), " and ")
}

func (b *answers) add(key, name string, c Chain) {
	h := b.found[key]
	if h == nil {
		h = &Holder{Principal: name}
		b.found[key] = h
	}
	h.Chains = append(h.Chains, c)
}

// holders are those to whom something gives what is asked for, sorted.
func (b *answers) holders() []Holder {
	var list []Holder
	for _, h := range b.found {
		if verdict, given := decideAll(h.Chains); given {
			h.Verdict = verdict
			list = append(list, *h)
		}
	}
	slices.SortFunc(list, func(a, b Holder) int { return cmp.Compare(a.Principal, b.Principal) })
	return list
}

// decideAll is decide for chains of several packages: each is a way of its own, and the best one counts.
func decideAll(chains []Chain) (best Verdict, given bool) {
	ways := map[string][]Chain{}
	for _, c := range chains {
		ways[c.Package] = append(ways[c.Package], c)
	}
	verdicts := map[Verdict]bool{}
	for _, way := range ways {
		if verdict, gives := decide(way); gives {
			verdicts[verdict] = true
		}
	}
	for _, verdict := range []Verdict{Allowed, Unclear, Denied} {
		if verdicts[verdict] {
			return verdict, true
		}
	}
	return Denied, false
}

// decide weighs what gives against what denies; given tells whether something gives at all.
func decide(chains []Chain) (verdict Verdict, given bool) {
	var gives, denies, perhapsGives, perhapsDenies bool
	for _, c := range chains {
		switch {
		case c.exempts():
			return Allowed, true
		case c.Doubt == "" && c.Effect == Allow:
			gives = true
		case c.Doubt == "" && c.Effect == Deny:
			denies = true
		default:
			perhapsGives = perhapsGives || c.Effect != Deny
			perhapsDenies = perhapsDenies || c.Effect != Allow
		}
	}
	given = gives || perhapsGives
	switch {
	case denies:
		return Denied, given
	case !gives || perhapsDenies:
		return Unclear, given
	}
	return Allowed, true
}
