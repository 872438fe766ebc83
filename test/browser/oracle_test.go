package browser_test

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
)

// query is what somebody asks the page for.
type query struct {
	principal, object, kind, role, action, state, sort string
}

// entry is what the page should show of a principal on an object, or of a principal with nothing if there is no object.
type entry struct {
	principal, object string
	actions           []string
}

// answer is what the page should show, worked out in the plainest way.
type answer struct {
	rows, columns []string
	entries       []entry
}

// solve answers a query of a page.
func solve(p auditpage.Page, q query) answer {
	// Stars alone ask for nothing.
	if strings.Trim(q.principal, "*") == "" {
		q.principal = ""
	}
	if strings.Trim(q.object, "*") == "" {
		q.object = ""
	}
	var a answer
	used := map[int]bool{}
	marked, held := map[string]int{}, map[string]int{}
	byRow := map[string][]entry{}
	for _, principal := range p.Principals {
		name := principal.Name
		if !like(name, q.principal) {
			continue
		}
		byRow[name], marked[name] = q.entries(p, principal, used)
		held[name] = len(byRow[name])
		if held[name] == 0 {
			if !q.membership(p, principal) {
				continue
			}
			byRow[name] = []entry{{principal: name, object: "nothing"}}
		}
		a.rows = append(a.rows, name)
	}
	q.order(a.rows, marked, held)
	for _, row := range a.rows {
		a.entries = append(a.entries, byRow[row]...)
	}
	onlyObjects := q.principal == "" && q.role == "" && q.action == "" && q.state == ""
	for i, object := range p.Objects {
		if onlyObjects && q.ofObject(object) || used[i] {
			a.columns = append(a.columns, label(object))
		}
	}
	return a
}

// entries are those of a principal, and the number of actions in them that are marked. It notes their objects as used.
func (q query) entries(p auditpage.Page, principal auditpage.Principal, used map[int]bool) (entries []entry, marked int) {
	for _, cell := range p.Profiles[principal.Profile].Cells {
		e := entry{principal: principal.Name, object: label(p.Objects[cell.Object])}
		for _, action := range q.actions(p, principal, cell) {
			e.actions = append(e.actions, action.Name)
			if action.Verdict == auditpage.Unclear || slices.ContainsFunc(action.Via, func(g int) bool { return isMarked(p, principal, g) }) {
				marked++
			}
		}
		if len(e.actions) > 0 {
			used[cell.Object] = true
			entries = append(entries, e)
		}
	}
	return entries, marked
}

func (q query) order(rows []string, marked, held map[string]int) {
	byName := func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) }
	switch q.sort {
	case "principal":
		slices.SortStableFunc(rows, byName)
	case "principal-down":
		slices.SortStableFunc(rows, func(a, b string) int { return byName(b, a) })
	case "marks":
		slices.SortStableFunc(rows, func(a, b string) int { return cmp.Compare(marked[b], marked[a]) })
	case "objects":
		slices.SortStableFunc(rows, func(a, b string) int { return cmp.Compare(held[b], held[a]) })
	}
}

// actions are those of a cell that the query lets through.
func (q query) actions(p auditpage.Page, principal auditpage.Principal, cell auditpage.Cell) []auditpage.Action {
	if !q.ofObject(p.Objects[cell.Object]) {
		return nil
	}
	var through []auditpage.Action
	for _, action := range cell.Actions {
		grants := slices.Clone(action.Via)
		if q.role != "" {
			grants = slices.DeleteFunc(grants, func(g int) bool { return p.Grants[g].Role < 0 || p.Roles[p.Grants[g].Role].Name != q.role })
		}
		if q.action != "" && action.Name != q.action || q.role != "" && len(grants) == 0 || !q.inState(p, principal, action.Verdict, grants) {
			continue
		}
		through = append(through, action)
	}
	return through
}

func (q query) inState(p auditpage.Page, principal auditpage.Principal, verdict auditpage.Verdict, grants []int) bool {
	switch q.state {
	case "":
		return true
	case "unclear":
		return verdict == auditpage.Unclear
	case "denied":
		return verdict == auditpage.Denied
	}
	return slices.ContainsFunc(grants, func(g int) bool { return slices.ContainsFunc(chain(p, principal, g), q.asks) })
}

// asks tells whether a state is one that the query asks for.
func (q query) asks(state auditpage.State) bool {
	return state == auditpage.Drift && strings.Contains(q.state, "drift") || state == auditpage.Unmanaged && strings.Contains(q.state, "unmanaged")
}

// chain are the states on the way from a principal through a grant.
func chain(p auditpage.Page, principal auditpage.Principal, grant int) []auditpage.State {
	states := []auditpage.State{p.Grants[grant].State}
	for _, m := range principal.Roles {
		if m.Role == p.Grants[grant].Role {
			states = append(states, m.State)
		}
	}
	return states
}

func isMarked(p auditpage.Page, principal auditpage.Principal, grant int) bool {
	return slices.ContainsFunc(chain(p, principal, grant), func(s auditpage.State) bool { return s != auditpage.Declared })
}

// membership tells whether a principal with nothing to show is shown for its memberships.
func (q query) membership(p auditpage.Page, principal auditpage.Principal) bool {
	if q.object != "" || q.kind != "" || q.action != "" {
		return false
	}
	return q.role == "" && q.state == "" || slices.ContainsFunc(principal.Roles, func(m auditpage.Membership) bool {
		return (q.role == "" || p.Roles[m.Role].Name == q.role) && (q.state == "" || q.asks(m.State))
	})
}

func (q query) ofObject(o auditpage.Object) bool {
	return (q.kind == "" || o.Kind == q.kind) && like(label(o), q.object)
}

// like tells whether a name holds a pattern, in which * stands for anything.
func like(name, pattern string) bool {
	return regexp.MustCompile("(?is)" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")).MatchString(name)
}

func label(o auditpage.Object) string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}
