package sample

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
)

// Large is of the size that the page is made for: 1,000 principals, no two of which have the same, and 20,000 grants.
func Large() auditpage.Page {
	return Random(Size{Seed: 1, Principals: 1000, Roles: 200, GrantsOfRole: 100, RolesOfPrincipal: 5, Objects: 5000})
}

// Size says how large a random page is.
type Size struct {
	// Seed makes pages of the same size differ.
	Seed                                                       uint64
	Principals, Roles, GrantsOfRole, RolesOfPrincipal, Objects int
}

// Random makes a page in which most is declared, and the rest is everything else. The same size gives the same page.
func Random(size Size) auditpage.Page {
	r := &random{rand.New(rand.NewPCG(size.Seed, 0)), size}
	p := auditpage.Page{Project: "random", Connection: "data/random", Endpoint: "https://maxcompute.example", Read: read(), Version: "v0.0.0"}
	kinds := []string{"Table", "Table", "Table", "Resource", "Function"}
	for i := range size.Objects {
		p.Objects = append(p.Objects, auditpage.Object{Kind: kinds[r.IntN(len(kinds))], Schema: fmt.Sprintf("schema_%d", i%7), Name: fmt.Sprintf("object_%05d", i)})
	}
	for i := range size.Roles {
		p.Roles = append(p.Roles, auditpage.Role{Name: fmt.Sprintf("role_%03d", i), Type: "Resource", Manager: fmt.Sprintf("data/role-%03d", i), Policy: "Authoritative"})
	}
	held := r.grants(&p)
	for i := range size.Principals {
		p.Principals = append(p.Principals, auditpage.Principal{Name: fmt.Sprintf("RAM$example:user_%04d", (i*7919)%size.Principals), Profile: i, Roles: r.memberships()})
		p.Profiles = append(p.Profiles, profile(&p, held, p.Principals[i].Roles))
	}
	return p
}

type random struct {
	*rand.Rand
	size Size
}

// state is rarely something else than Declared.
func (r *random) state() auditpage.State {
	switch r.IntN(40) {
	case 0:
		return auditpage.Drift
	case 1:
		return auditpage.Unmanaged
	}
	return auditpage.Declared
}

// holding is the object of a grant, and its actions.
type holding struct {
	object  int
	actions []string
}

// grants appends the grants of every role, in the order of the roles, and tells what they are of.
func (r *random) grants(p *auditpage.Page) []holding {
	sets := [][]string{{"Describe", "Select"}, {"Select"}, {"Alter", "Update"}, {"Download"}, {"Describe"}}
	var held []holding
	for role := range p.Roles {
		for range r.size.GrantsOfRole {
			h := holding{r.IntN(len(p.Objects)), sets[r.IntN(len(sets))]}
			held = append(held, h)
			g := auditpage.Grant{Role: role, Source: "ACL entry", Effect: auditpage.Allow, State: r.state(), Manager: p.Roles[role].Manager,
				Text: fmt.Sprint(h.actions, " on ", p.Objects[h.object].Name)}
			switch r.IntN(50) {
			case 0:
				g.Effect = auditpage.Deny
			case 1:
				g.Unclear = "A condition depends on the request."
			}
			p.Grants = append(p.Grants, g)
		}
	}
	return held
}

func (r *random) memberships() []auditpage.Membership {
	roles := map[int]auditpage.State{}
	for range r.size.RolesOfPrincipal {
		roles[r.IntN(r.size.Roles)] = r.state()
	}
	var list []auditpage.Membership
	for role := range r.size.Roles {
		if state, ok := roles[role]; ok {
			list = append(list, auditpage.Membership{Role: role, State: state})
		}
	}
	return list
}

// profile is what memberships give: of an action, denied if any grant denies it, otherwise unclear if one is.
func profile(p *auditpage.Page, held []holding, memberships []auditpage.Membership) auditpage.Profile {
	via := map[int]map[string][]int{}
	ofRole := len(held) / len(p.Roles)
	for _, m := range memberships {
		for grant := m.Role * ofRole; grant < (m.Role+1)*ofRole; grant++ {
			h := held[grant]
			if via[h.object] == nil {
				via[h.object] = map[string][]int{}
			}
			for _, action := range h.actions {
				via[h.object][action] = append(via[h.object][action], grant)
			}
		}
	}
	var made auditpage.Profile
	for object, actions := range via {
		cell := auditpage.Cell{Object: object}
		for name, grants := range actions {
			cell.Actions = append(cell.Actions, auditpage.Action{Name: name, Verdict: verdict(p, grants), Via: grants})
		}
		slices.SortFunc(cell.Actions, func(a, b auditpage.Action) int { return cmp.Compare(a.Name, b.Name) })
		made.Cells = append(made.Cells, cell)
	}
	slices.SortFunc(made.Cells, func(a, b auditpage.Cell) int { return cmp.Compare(a.Object, b.Object) })
	return made
}

func verdict(p *auditpage.Page, grants []int) auditpage.Verdict {
	verdict := auditpage.Allowed
	for _, grant := range grants {
		if p.Grants[grant].Effect == auditpage.Deny {
			return auditpage.Denied
		}
		if p.Grants[grant].Unclear != "" {
			verdict = auditpage.Unclear
		}
	}
	return verdict
}
