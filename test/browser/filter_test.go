package browser_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
	"github.com/maxcompute-operator/maxcompute-operator/test/browser/sample"
)

// fragment is how the address of the page holds a query, and the view unless that is the matrix.
func (q query) fragment(view string) string {
	values := url.Values{}
	for key, value := range map[string]string{
		"principal": q.principal, "object": q.object, "kind": q.kind, "role": q.role, "action": q.action, "state": q.state, "sort": q.sort, "view": view,
	} {
		if value != "" && value != "matrix" {
			values.Set(key, value)
		}
	}
	return values.Encode()
}

// matrix is the table of the matrix.
func (a answer) matrix() [][]string {
	if len(a.rows) == 0 {
		return [][]string{append([]string{"Principal"}, a.columns...)}
	}
	cells := map[string]map[string]string{}
	for _, e := range a.entries {
		if cells[e.principal] == nil {
			cells[e.principal] = map[string]string{}
		}
		cells[e.principal][e.object] = strings.Join(e.actions, ", ")
	}
	table := [][]string{append([]string{"Principal"}, a.columns...)}
	for _, row := range a.rows {
		line := []string{row}
		for _, column := range a.columns {
			line = append(line, cells[row][column])
		}
		table = append(table, line)
	}
	return table
}

// list is the table of the list, without how and state.
func (a answer) list() [][]string {
	table := [][]string{{"Principal", "Object", "Actions"}}
	for _, e := range a.entries {
		table = append(table, []string{e.principal, e.object, strings.Join(e.actions, ", ")})
	}
	return table
}

// withoutHow keeps principal, object and actions of a list.
func withoutHow(table [][]string) [][]string {
	cut := make([][]string, len(table))
	for i, line := range table {
		cut[i] = line[:3]
	}
	return cut
}

func (a answer) count(p auditpage.Page) string {
	return fmt.Sprintf("Shown: %d of %d principals and %d of %d objects.", len(a.rows), len(p.Principals), len(a.columns), len(p.Objects))
}

// check compares both views with what a query should show.
func (b *tab) check(p auditpage.Page, q query) {
	b.t.Helper()
	want := solve(p, q)
	b.follow(q.fragment("matrix"))
	if diff := cmp.Diff(want.matrix(), b.table()); diff != "" {
		b.t.Errorf("the matrix of %+v (-want +got):\n%s", q, diff)
	}
	if got := ask[string](b, `document.getElementById("count").textContent`); got != want.count(p) {
		b.t.Errorf("of %+v it says %q, want %q", q, got, want.count(p))
	}
	b.follow(q.fragment("list"))
	if diff := cmp.Diff(want.list(), withoutHow(b.table())); diff != "" {
		b.t.Errorf("the list of %+v (-want +got):\n%s", q, diff)
	}
}

func queries() map[string]query {
	return map[string]query{
		"everything":                                   {},
		"a part of a principal, in another case":       {principal: "ALICE"},
		"a pattern of a principal":                     {principal: "ram*b"},
		"a principal that does not exist":              {principal: "mallory"},
		"stars alone":                                  {principal: "**", object: "*"},
		"what means something to regular expressions":  {principal: "$example"},
		"a part of an object":                          {object: "custom"},
		"a star that an object has itself":             {object: "ods_*"},
		"an object that nobody has":                    {object: "abandoned"},
		"a kind":                                       {kind: "Table"},
		"a kind that does not exist":                   {kind: "View"},
		"a role, also its members":                     {role: "analyst"},
		"a role that does not exist":                   {role: "nobody"},
		"a role without members":                       {role: "admin"},
		"an action":                                    {action: "Select"},
		"an action that does not exist":                {action: "Fly"},
		"drift":                                        {state: "drift"},
		"drift of a role":                              {state: "drift", role: "analyst"},
		"unmanaged":                                    {state: "unmanaged"},
		"drift or unmanaged":                           {state: "drift-or-unmanaged"},
		"unclear":                                      {state: "unclear"},
		"denied":                                       {state: "denied"},
		"a state that does not exist is no filter":     {state: ""},
		"everything at once":                           {principal: "bob", object: "customers", kind: "Table", role: "analyst", action: "Select", state: "drift"},
		"sorted by principal":                          {sort: "principal"},
		"sorted by principal, down":                    {sort: "principal-down"},
		"sorted by marks, as read where they are even": {sort: "marks"},
		"sorted by objects":                            {sort: "objects"},
	}
}

// TestAFragmentShowsWhatItAsksFor in the matrix and in the list.
func TestAFragmentShowsWhatItAsksFor(t *testing.T) {
	small := sample.Small()
	opened := open(t, start(t), small, "")
	for name, q := range queries() {
		t.Run(name, func(t *testing.T) {
			opened.t = t
			opened.check(small, q)
		})
	}
}

// TestAnyFragmentShowsWhatItAsksFor in a project that is made at random.
func TestAnyFragmentShowsWhatItAsksFor(t *testing.T) {
	random := sample.Random(sample.Size{Seed: 3, Principals: 40, Roles: 12, GrantsOfRole: 15, RolesOfPrincipal: 3, Objects: 30})
	opened := open(t, start(t), random, "")
	r := rand.New(rand.NewPCG(7, 0))
	some := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 40 {
		opened.check(random, query{
			principal: some("", "", "", "USER_00", "1", "user*2"), object: some("", "", "", "schema_1", "schema*2"), kind: some("", "", "Table", "Function"),
			role: some("", "", "role_003", "role_011"), action: some("", "", "Select", "Alter"),
			state: some("", "", "drift", "unmanaged", "drift-or-unmanaged", "unclear", "denied"),
			sort:  some("", "principal", "principal-down", "marks", "objects"),
		})
	}
}

// TestALinkShowsTheSame: a page is opened with a fragment, what it does not know in it is left out, and the controls show the rest.
func TestALinkShowsTheSame(t *testing.T) {
	small := sample.Small()
	browser := start(t)
	tests := map[string]struct {
		fragment string
		query    query
		view     string
	}{
		"a list of drift":               {"state=drift&view=list", query{state: "drift"}, "list"},
		"a name with signs":             {"principal=RAM%24example%3Aali&sort=principal", query{principal: "RAM$example:ali", sort: "principal"}, "matrix"},
		"a role that does not exist":    {"role=gone", query{role: "gone"}, "matrix"},
		"what the page does not know":   {"state=lost&view=cube&sort=size&color=red&constructor=1&__proto__=2", query{}, "matrix"},
		"what is no list of parameters": {"%%%&=&&", query{}, "matrix"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			opened := open(t, browser, small, tc.fragment)
			want := solve(small, tc.query).matrix()
			got := opened.table()
			if tc.view == "list" {
				want, got = solve(small, tc.query).list(), withoutHow(got)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the table (-want +got):\n%s", diff)
			}
			q, view := opened.controls()
			if diff := cmp.Diff(tc.query, q, cmp.AllowUnexported(query{})); diff != "" || view != tc.view {
				t.Errorf("the controls show the view %s, and (-want +got):\n%s", view, diff)
			}
		})
	}
}

// controls are what the controls show.
func (b *tab) controls() (query, string) {
	b.t.Helper()
	v := ask[map[string]string](b, `Object.fromEntries([...document.querySelectorAll("#controls :is(input, select)")].map((c) => [c.id, c.value]))`)
	return query{principal: v["principal"], object: v["object"], kind: v["kind"], role: v["role"], action: v["action"], state: v["state"], sort: v["sort"]}, v["view"]
}

// TestTypingFilters and leaves a fragment behind that shows the same.
func TestTypingFilters(t *testing.T) {
	small := sample.Small()
	opened := open(t, start(t), small, "")
	opened.do(chromedp.SendKeys(chromedp.CSS("#principal"), "Bob"), chromedp.SendKeys(chromedp.CSS("#object"), "default.c"))
	opened.choose("action", "Select")
	opened.choose("state", "drift-or-unmanaged")
	q := query{principal: "Bob", object: "default.c", action: "Select", state: "drift-or-unmanaged"}
	if diff := cmp.Diff(solve(small, q).matrix(), opened.table()); diff != "" {
		t.Errorf("the matrix (-want +got):\n%s", diff)
	}
	opened.choose("view", "list")
	if diff := cmp.Diff(solve(small, q).list(), withoutHow(opened.table())); diff != "" {
		t.Errorf("the list (-want +got):\n%s", diff)
	}
	got, err := url.ParseQuery(strings.TrimPrefix(ask[string](opened, "location.hash"), "#"))
	must(t, err)
	if diff := cmp.Diff(q.fragment("list"), got.Encode()); diff != "" {
		t.Errorf("the fragment (-want +got):\n%s", diff)
	}
}

func TestReset(t *testing.T) {
	small := sample.Small()
	opened := open(t, start(t), small, "principal=bob&role=gone&state=drift&view=list&sort=marks")
	opened.do(chromedp.Click(chromedp.CSS("#reset")))
	if diff := cmp.Diff(solve(small, query{}).matrix(), opened.table()); diff != "" {
		t.Errorf("the matrix (-want +got):\n%s", diff)
	}
	if q, view := opened.controls(); q != (query{}) || view != "matrix" {
		t.Errorf("the controls show %+v and %s", q, view)
	}
	if hash := ask[string](opened, "location.hash"); hash != "" {
		t.Errorf("the fragment is %s", hash)
	}
}

// TestTheListTellsHow: of each way the membership, the grant, what manages it and when it ends, and what is marked.
func TestTheListTellsHow(t *testing.T) {
	opened := open(t, start(t), sample.Small(), "view=list")
	got := ask[[]string](opened, `[...document.getElementById("table").tBodies[0].rows].map((line) => {
		const text = [...line.cells].slice(3).map((cell) => [...cell.querySelectorAll("li")].map((li) => li.textContent).join(" | ") || cell.textContent);
		return line.cells[0].textContent + " " + line.cells[1].textContent + ": " + text.join(" => ");
	})`)
	for _, want := range []string{
		"RAM$example:carol Table default.orders: member of role analyst → ACL entry Describe, Select on table default.orders → managed by data/analyst => declared",
		"RAM$example:aliceD Project sales: member of role analystD → ACL entry List on project sales → managed by data/analyst => drift",
		"RAM$example:bob Table default.customers: Download: permission request Download on table default.customers → managed by team-a/quarter-close → ends 2026-04-01T00:00:00Z" +
			" | Select: member of role analyst → ACL entry Select on table default.customersD → managed by data/analyst => drift",
		"RAM$example:bob Resource cleanse.jar: member of role engineer → ACL entry Read on resource cleanse.jarU → managed by no object => unmanaged",
		"RAM$example:erin nothing:  => declared",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("the list lacks\n%s\nand is\n%s", want, strings.Join(got, "\n"))
		}
	}
	if got := ask[string](opened, `document.getElementById("rest").textContent`); got != "Nobody has a permission on default.abandoned." {
		t.Errorf("of the rest it says %q", got)
	}
}

// TestTheOtherTables tell of the whole project.
func TestTheOtherTables(t *testing.T) {
	opened := open(t, start(t), sample.Small(), "principal=nobody")
	const read = `Object.fromEntries(["missing", "unreached", "roles"].map((id) => [id, [...document.querySelectorAll("#" + id + " tbody tr")].map((line) => [...line.cells].map((c) => c.textContent.trim()).join(" | "))]))`
	want := map[string][]string{
		"missing":   {"analyst | Describe on table default.customers | data/analyst", "engineer | member RAM$example:erin | data/engineer"},
		"unreached": {"admin | built-in role everything in the projectU | no object"},
		"roles": {
			"analyst | Resource | data/analyst | Authoritative | 3 | 3 | 2 D | 0",
			"engineer | Resource | data/engineer | Additive | 1 | 2 | 0 | 1 U",
			"legacy | Resource | no object |  | 1 | 1 | 0 | 2 U",
			"restricted | Resource | data/restricted | Observe | 1 | 2 | 0 | 0",
			"admin | Admin | no object |  | not known ? | 1 | 0 | 1 U",
		},
	}
	if diff := cmp.Diff(want, ask[map[string][]string](opened, read)); diff != "" {
		t.Errorf("the tables (-want +got):\n%s", diff)
	}
}
