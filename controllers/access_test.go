package controllers_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// The size of the project that questions are asked about.
const (
	accessRoles, accessPrincipals, accessGrants, accessQuestions = 200, 1000, 20_000, 10_000
	accessTables, accessSchemas                                  = 400, 3
)

var tableActions = []string{"Describe", "Select", "Alter", "Update", "Drop", "ShowHistory", "Download"}

// accessRole is a role as it was made, for an evaluation that shares nothing with the one under test.
type accessRole struct {
	name       string
	admin      bool
	members    []string
	grants     []accessGrant
	statements []accessStatement
}

type accessGrant struct{ schema, table, action string }

type accessStatement struct {
	deny, conditional  bool
	actions, resources []string
}

// json is the statement as a policy spells it.
func (s accessStatement) json() string {
	list := func(items []string) string { return `["` + strings.Join(items, `","`) + `"]` }
	effect, condition := "Allow", ""
	if s.deny {
		effect = "Deny"
	}
	if s.conditional {
		condition = `,"Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]}}`
	}
	return fmt.Sprintf(`{"Effect":%q,"Action":%s,"Resource":%s%s}`, effect, list(s.actions), list(s.resources), condition)
}

// oneOf draws from a list.
func oneOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// several draws up to n from a function.
func several(r *rand.Rand, n int, draw func() string) []string {
	list := []string{draw()}
	for range r.IntN(n) {
		list = append(list, draw())
	}
	return list
}

func randomSchema(r *rand.Rand) string {
	return []string{"default", "sales", "Raw"}[r.IntN(accessSchemas)]
}

func randomTable(r *rand.Rand) string {
	return fmt.Sprintf("%s_%d", oneOf(r, "ods", "dwd", "Ads"), r.IntN(accessTables))
}

func randomStatement(r *rand.Rand) accessStatement {
	return accessStatement{
		deny: r.IntN(3) == 0, conditional: r.IntN(6) == 0,
		actions: several(r, 3, func() string {
			return "odps:" + oneOf(r, append([]string{"*", "All", "select", "CreateTable"}, tableActions...)...)
		}),
		resources: several(r, 3, func() string {
			in := "acs:odps:*:projects/" + oneOf(r, project, project, strings.ToUpper(project), "other", "*")
			switch r.IntN(5) {
			case 0:
				return in + "/tables/" + oneOf(r, "ods_*", "*_1*", "*", "d*_2*3")
			case 1:
				return in + "/tables/" + randomTable(r)
			case 2:
				return in + "/schemas/" + randomSchema(r) + "/tables/" + oneOf(r, "*", "ods_1*", randomTable(r))
			case 3:
				return in + oneOf(r, "/*", "", "/registration/functions/*", "/resources/ods_1")
			}
			return oneOf(r, "*", "acs:odps:*:*", "acs:odps:*:projects/*/tables/dwd_*")
		}),
	}
}

// randomAccess makes a project of roles.
func randomAccess(r *rand.Rand) []accessRole {
	people := make([]string, accessPrincipals)
	for i := range people {
		people[i] = fmt.Sprintf(oneOf(r, "RAM$corp:user%d", "ALIYUN$user%d@example.com", "RAM$corp:role/etl%d"), i)
	}
	roles := make([]accessRole, accessRoles)
	for i := range roles {
		role := &roles[i]
		role.name = fmt.Sprintf("role_%d", i)
		role.admin = r.IntN(10) == 0
		for range 1 + r.IntN(10) {
			role.members = append(role.members, oneOf(r, people...))
		}
		for range r.IntN(4) {
			role.statements = append(role.statements, randomStatement(r))
		}
	}
	roles = append(roles, accessRole{name: "super_administrator", admin: true, members: people[:2]}, accessRole{name: "admin", admin: true, members: people[1:4]})
	for i, person := range people { // everybody has a role
		roles[i%accessRoles].members = append(roles[i%accessRoles].members, person)
	}
	for given := 0; given < accessGrants; {
		role := &roles[r.IntN(accessRoles)]
		if role.admin {
			continue
		}
		table := randomTable(r)
		if r.IntN(100) == 0 {
			table = "*"
		}
		role.grants = append(role.grants, accessGrant{randomSchema(r), table, oneOf(r, append([]string{"All"}, tableActions...)...)})
		given++
	}
	return roles
}

// growAccess puts roles into the cloud.
func (h *harness) growAccess(roles []accessRole) {
	h.foreign = true
	for _, role := range roles {
		if role.name != "admin" && role.name != "super_administrator" {
			typ := "resource"
			if role.admin {
				typ = "admin"
			}
			h.must(h.cloud.CreateRole(project, role.name, typ))
		}
		for _, g := range role.grants {
			h.must(h.cloud.Grant(project, role.name, fakecloud.Grant{Kind: "table", SchemaName: g.schema, Name: g.table, Actions: []string{g.action}}))
		}
		var statements []string
		for _, s := range role.statements {
			statements = append(statements, s.json())
		}
		if len(statements) > 0 {
			h.must(h.cloud.SetPolicy(project, role.name, `{"Version":"1","Statement":[`+strings.Join(statements, ",")+`]}`))
		}
		h.must(h.cloud.AddMembers(project, role.name, role.members...))
	}
}

// glob compiles a pattern in which * stands for any text.
func glob(pattern string) *regexp.Regexp {
	return regexp.MustCompile("(?is)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
}

// bruteForce answers questions by looking at everything, one by one.
type bruteForce struct {
	roles []accessRole
	globs map[string]*regexp.Regexp
}

func (b *bruteForce) covers(pattern string, names ...string) bool {
	if b.globs[pattern] == nil {
		b.globs[pattern] = glob(pattern)
	}
	return slices.ContainsFunc(names, b.globs[pattern].MatchString)
}

func (b *bruteForce) anyCovers(patterns []string, names ...string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return b.covers(pattern, names...) })
}

// applies tells whether a statement is about an action on a table.
func (b *bruteForce) applies(s accessStatement, action, schema, table string) bool {
	actions := []string{"odps:" + action}
	if action != "Download" {
		actions = append(actions, "odps:All") // Download is granted beside All
	}
	tables := []string{"acs:odps:*:projects/" + project + "/schemas/" + schema + "/tables/" + table}
	if schema == "default" {
		tables = append(tables, "acs:odps:*:projects/"+project+"/tables/"+table)
	}
	return b.anyCovers(s.actions, actions...) && b.anyCovers(s.resources, tables...)
}

// tally is what somebody was given and denied.
type tally struct{ super, gives, denies, perhapsGives, perhapsDenies bool }

// counts tells what having a role means for an action on a table.
func (b *bruteForce) counts(role accessRole, action, schema, table string) (t tally) {
	t.super, t.gives = role.name == "super_administrator", role.name == "admin"
	for _, g := range role.grants {
		same := strings.EqualFold(g.schema, schema) && (g.table == "*" || strings.EqualFold(g.table, table))
		if same && (strings.EqualFold(g.action, action) || g.action == "All" && action != "Download") {
			t.gives = true
		}
	}
	for _, s := range role.statements {
		if !b.applies(s, action, schema, table) {
			continue
		}
		switch uncertain := s.conditional || role.admin; {
		case s.deny && uncertain:
			t.perhapsDenies = true
		case s.deny:
			t.denies = true
		case uncertain:
			t.perhapsGives = true
		default:
			t.gives = true
		}
	}
	return t
}

// answer is the verdict on each principal that has to do with it.
func (b *bruteForce) answer(action, schema, table string) map[string]access.Verdict {
	tallies := map[string]tally{}
	for _, role := range b.roles {
		t := b.counts(role, action, schema, table)
		for _, member := range role.members {
			all := tallies[strings.ToLower(member)]
			tallies[strings.ToLower(member)] = tally{
				all.super || t.super, all.gives || t.gives, all.denies || t.denies, all.perhapsGives || t.perhapsGives, all.perhapsDenies || t.perhapsDenies,
			}
		}
	}
	verdicts := map[string]access.Verdict{}
	for who, t := range tallies {
		if t.super || t.gives || t.perhapsGives {
			verdicts[who] = t.verdict()
		}
	}
	return verdicts
}

// verdict is that on somebody to whom something gives it.
func (t tally) verdict() access.Verdict {
	switch {
	case t.super:
		return access.Allowed
	case t.denies:
		return access.Denied
	case t.gives && !t.perhapsDenies:
		return access.Allowed
	}
	return access.Unclear
}

// silently tells nobody how far it is.
func silently(string) func(done, of int) { return func(int, int) {} }

func (h *harness) access() *controllers.Reading {
	h.t.Helper()
	reading, err := h.previewer().Access(h.t.Context(), estate, true, silently)
	h.must(err)
	return reading
}

// TestWhoCanAgreesWithBruteForce: 10,000 random questions about a project of 200 roles, 1,000 principals and 20,000 grants, read with one
// list and at most two calls for each role.
func TestWhoCanAgreesWithBruteForce(t *testing.T) {
	h := newHarness(t)
	r := rand.New(rand.NewPCG(8, 2026))
	roles := randomAccess(r)
	h.growAccess(roles)
	h.cloud.ResetJournal()
	reading := h.access()
	h.must(reading.ReadMembers(t.Context(), reading.Roles))
	if len(reading.Problems)+len(reading.Notes) > 0 {
		t.Fatalf("not read: %v %v", reading.Problems, reading.Notes)
	}
	calls := map[string]int{}
	for _, entry := range h.cloud.Journal() {
		calls[entry.Role]++
		if entry.Write {
			t.Errorf("reading wrote: %+v", entry)
		}
	}
	for role, n := range calls {
		if role == "" && n != 1 || n > 2 {
			t.Errorf("%d calls for role %q", n, role)
		}
	}
	const walkers = 4
	for walker := range walkers {
		t.Run(fmt.Sprintf("walker %d", walker), func(t *testing.T) {
			t.Parallel()
			askAround(t, reading.Project, roles, rand.New(rand.NewPCG(uint64(walker), 2027)), accessQuestions/walkers)
		})
	}
}

// askAround asks random questions.
func askAround(t *testing.T, p *access.Project, roles []accessRole, r *rand.Rand, questions int) {
	brute := &bruteForce{roles: roles, globs: map[string]*regexp.Regexp{}}
	verdicts := map[access.Verdict]int{}
	for range questions {
		action, schema, table := oneOf(r, tableActions...), randomSchema(r), randomTable(r)
		got := map[string]access.Verdict{}
		answer := p.WhoCan(action, access.NewObject(acl.Table, schema, table))
		for _, holder := range answer.Holders {
			// The cloud may spell principals anew.
			got[strings.ToLower(holder.Principal)] = holder.Verdict
			verdicts[holder.Verdict]++
		}
		want := brute.answer(action, strings.ToLower(schema), table)
		if !maps.Equal(want, got) || answer.Unseen != nil {
			t.Fatalf("who can %s %s.%s: unseen %v (-want +got):\n%s", action, schema, table, answer.Unseen, gocmp.Diff(want, got))
		}
	}
	for _, verdict := range []access.Verdict{access.Allowed, access.Denied, access.Unclear} {
		if verdicts[verdict] < questions {
			t.Errorf("only %d answers are %s: the project is not varied enough", verdicts[verdict], verdict)
		}
	}
}
