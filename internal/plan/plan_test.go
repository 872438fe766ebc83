package plan_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

var (
	role   = plan.Entry{Kind: "Role", Name: "reader"}
	orders = plan.Entry{Kind: "Table", SchemaName: "default", Name: "orders", Actions: []string{"Describe", "Select"}}
	users  = plan.Entry{Kind: "Table", SchemaName: "ods", Name: "users", Actions: []string{"Select"}}
)

func TestEntriesReadAsAPersonWouldWriteThem(t *testing.T) {
	tests := map[string]struct {
		entry plan.Entry
		want  string
	}{
		"without actions":                          {role, "Role reader"},
		"in the default schema":                    {orders, "Describe, Select on Table orders"},
		"in the default schema, spelt otherwise":   {plan.Entry{Kind: "Table", SchemaName: "DEFAULT", Name: "t", Actions: []string{"Select"}}, "Select on Table t"},
		"in another schema":                        {users, "Select on Table ods.users"},
		"in another schema, without actions":       {plan.Entry{Kind: "Table", SchemaName: "ods", Name: "users"}, "Table ods.users"},
		"all objects of a kind that has no schema": {plan.Entry{Kind: "Instance", Name: "*", Actions: []string{"Read"}}, "Read on Instance *"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.entry.String()); diff != "" {
				t.Errorf("String (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlansReadLineByLine(t *testing.T) {
	tests := map[string]struct {
		plan  plan.Plan
		want  string
		empty bool
	}{
		"nothing to do": {plan.Plan{}, "", true},
		"one step":      {plan.Plan{Steps: []plan.Step{{Verb: plan.Create, Entry: role, Contents: []plan.Entry{orders}}}}, "Create Role reader", false},
		"several steps": {
			plan.Plan{Steps: []plan.Step{{Verb: plan.Grant, Entry: orders}, {Verb: plan.Revoke, Entry: users}}},
			"Grant Describe, Select on Table orders\nRevoke Select on Table ods.users", false,
		},
		"a hold": {plan.Plan{Hold: &plan.Hold{Reason: "AlreadyExists", Message: "the role is somebody else's"}}, "AlreadyExists: the role is somebody else's", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.plan.String()); diff != "" || tc.plan.Empty() != tc.empty {
				t.Errorf("Empty = %v, want %v; String (-want +got):\n%s", tc.plan.Empty(), tc.empty, diff)
			}
		})
	}
}

func TestSummaryCountsWhatWasDone(t *testing.T) {
	tests := map[string]struct {
		steps []plan.Step
		want  string
	}{
		"nothing":                     {nil, ""},
		"a bare role":                 {[]plan.Step{{Verb: plan.Create, Entry: role}}, "created Role reader"},
		"a role with what it holds":   {[]plan.Step{{Verb: plan.Create, Entry: role, Contents: []plan.Entry{orders, users}}}, "created Role reader, granted 3"},
		"grants by object and action": {[]plan.Step{{Verb: plan.Grant, Entry: orders}, {Verb: plan.Grant, Entry: users}}, "granted 3"},
		"contents and later grants together": {
			[]plan.Step{{Verb: plan.Create, Entry: role, Contents: []plan.Entry{orders}}, {Verb: plan.Grant, Entry: users}}, "created Role reader, granted 3",
		},
		"in the order of the verbs, whatever the order of the steps": {
			[]plan.Step{{Verb: plan.Revoke, Entry: users}, {Verb: plan.Grant, Entry: orders}}, "granted 2, revoked 1",
		},
		"a deletion": {
			[]plan.Step{{Verb: plan.RemoveMember, Entry: role, Members: []string{"RAM$corp:alice", "RAM$corp:bob"}}, {Verb: plan.Delete, Entry: role}},
			"removed members 2, deleted Role reader",
		},
		"several objects, by name": {
			[]plan.Step{{Verb: plan.Create, Entry: plan.Entry{Kind: "Role", Name: "b"}}, {Verb: plan.Create, Entry: plan.Entry{Kind: "Role", Name: "a"}}}, "created Role a, Role b",
		},
		"the contents of what is deleted do not count": {[]plan.Step{{Verb: plan.Delete, Entry: role, Contents: []plan.Entry{orders}}}, "deleted Role reader"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, plan.Summary(tc.steps)); diff != "" {
				t.Errorf("Summary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyChangesWithinAnObjectStandAlone(t *testing.T) {
	want := map[plan.Verb]bool{
		plan.RemoveMember: true, plan.Create: false, plan.Grant: true, plan.SetPolicy: true, plan.Revoke: true, plan.AddMember: true, plan.Adopt: false, plan.Delete: false,
	}
	for verb, independent := range want {
		if verb.Independent() != independent {
			t.Errorf("%s.Independent() = %v", verb, !independent)
		}
	}
}

func TestStepsReadAsAPersonWouldWriteThem(t *testing.T) {
	tests := map[string]plan.Step{
		"Create Role reader":                         {Verb: plan.Create, Entry: role, Contents: []plan.Entry{orders}},
		"Revoke Select on Table ods.users":           {Verb: plan.Revoke, Entry: users},
		"AddMember ALIYUN$a, RAM$b:c to Role reader": {Verb: plan.AddMember, Entry: role, Members: []string{"ALIYUN$a", "RAM$b:c"}},
		"RemoveMember ALIYUN$a from Role reader":     {Verb: plan.RemoveMember, Entry: role, Members: []string{"ALIYUN$a"}},
		"SetPolicy of Role reader":                   {Verb: plan.SetPolicy, Entry: role, Policy: `{"Version":"1"}`},
		"Adopt Role reader":                          {Verb: plan.Adopt, Entry: role},
		"Delete Role reader":                         {Verb: plan.Delete, Entry: role},
	}
	for want, step := range tests {
		if got := step.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOutlineSaysWhatWouldBeDone(t *testing.T) {
	steps := []plan.Step{
		{Verb: plan.RemoveMember, Entry: role, Members: []string{"ALIYUN$a"}},
		{Verb: plan.Create, Entry: role, Contents: []plan.Entry{orders}},
		{Verb: plan.SetPolicy, Entry: role, Allows: 3, Denies: 4},
		{Verb: plan.Revoke, Entry: users},
		{Verb: plan.AddMember, Entry: role, Members: []string{"ALIYUN$b", "ALIYUN$c"}},
	}
	const want = "create Role reader, grant 2, set the policy of Role reader, revoke 1, add members 2, remove members 1"
	if got := plan.Outline(steps); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p := plan.Plan{Steps: steps}
	if grants, revokes := p.Grants(), p.Revokes(); grants != 2+3+2 || revokes != 1+4+1 {
		t.Errorf("%d grants and %d revocations", grants, revokes)
	}
}

// revoking is a plan that takes away so many of what an object holds.
func revoking(revokes, holds int) plan.Plan {
	p := plan.Plan{Holds: holds}
	for range revokes {
		p.Steps = append(p.Steps, plan.Step{Verb: plan.Revoke, Entry: users})
	}
	return p
}

func TestWhatNeedsApproval(t *testing.T) {
	tests := map[string]struct {
		plan  plan.Plan
		limit int
		want  bool
	}{
		"nothing is taken away":                            {plan.Plan{Holds: 100}, 50, false},
		"as many as the limit, of many":                    {revoking(50, 1000), 50, false},
		"one more than the limit":                          {revoking(51, 1000), 50, true},
		"all of a few":                                     {revoking(20, 20), 50, false},
		"just half of some":                                {revoking(11, 22), 50, false},
		"more than half of some":                           {revoking(12, 22), 50, true},
		"more than half, and the half is just over ten":    {revoking(11, 21), 50, true},
		"half rounded down is not more than half":          {revoking(15, 31), 50, false},
		"another limit":                                    {revoking(3, 1000), 2, true},
		"half counts whatever the limit":                   {revoking(30, 40), 1000, true},
		"no limit at all":                                  {revoking(1000, 1000), 0, false},
		"members count":                                    {plan.Plan{Holds: 1000, Steps: []plan.Step{{Verb: plan.RemoveMember, Entry: role, Members: make([]string, 51)}}}, 50, true},
		"what a policy does not give any more counts, too": {plan.Plan{Holds: 1000, Steps: []plan.Step{{Verb: plan.SetPolicy, Entry: role, Denies: 51}}}, 50, true},
		"grants do not":                                    {plan.Plan{Holds: 22, Steps: []plan.Step{{Verb: plan.SetPolicy, Entry: role, Allows: 500}}}, 50, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.plan.Exceeds(tc.limit); got != tc.want {
				t.Errorf("Exceeds(%d) = %v for %d of %d", tc.limit, got, tc.plan.Revokes(), tc.plan.Holds)
			}
		})
	}
}

func TestAHashNamesOnePlanFromOneState(t *testing.T) {
	base := func() plan.Plan {
		return plan.Plan{Basis: "x", Steps: []plan.Step{
			{Verb: plan.Grant, Entry: orders, Contents: []plan.Entry{users}}, {Verb: plan.RemoveMember, Entry: role, Members: []string{"ALIYUN$a", "ALIYUN$b"}}, {Verb: plan.SetPolicy, Entry: role, Policy: "p"},
		}}
	}
	changes := map[string]func(*plan.Plan){
		"another basis":              func(p *plan.Plan) { p.Basis = "y" },
		"a step less":                func(p *plan.Plan) { p.Steps = p.Steps[:2] },
		"another verb":               func(p *plan.Plan) { p.Steps[0].Verb = plan.Revoke },
		"another kind":               func(p *plan.Plan) { p.Steps[0].Kind = "View" },
		"another schema":             func(p *plan.Plan) { p.Steps[0].SchemaName = "ods" },
		"another name":               func(p *plan.Plan) { p.Steps[0].Name = "order" },
		"other actions":              func(p *plan.Plan) { p.Steps[0].Actions = []string{"Describe Select"} },
		"other contents":             func(p *plan.Plan) { p.Steps[0].Contents = nil },
		"members that read the same": func(p *plan.Plan) { p.Steps[1].Members = []string{"ALIYUN$a ALIYUN$b"} },
		"another policy":             func(p *plan.Plan) { p.Steps[2].Policy = "q" },
	}
	seen := map[string]string{base().Hash(): "the plan itself"}
	if again := base().Hash(); seen[again] == "" {
		t.Error("the same plan has another hash")
	}
	for name, change := range changes {
		p := base()
		change(&p)
		if other := seen[p.Hash()]; other != "" {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[p.Hash()] = name
	}
}

func TestWordsForPackages(t *testing.T) {
	entry := plan.Entry{Kind: "Package", Name: "shared_pkg"}
	table := func(name string, actions ...string) plan.Entry {
		return plan.Entry{Kind: "Table", SchemaName: "default", Name: name, Actions: actions}
	}
	steps := []plan.Step{
		{Verb: plan.Disallow, Entry: plan.Entry{Kind: "AllowedProject", Name: "old"}},
		{Verb: plan.Create, Entry: entry, Contents: []plan.Entry{table("a", "Select"), table("b", "Describe", "Select")}},
		{Verb: plan.Add, Entry: entry, Contents: []plan.Entry{table("c", "Select")}},
		{Verb: plan.Replace, Entry: table("d", "Select", "Update"), Previous: []string{"Describe", "Select"}},
		{Verb: plan.Remove, Entry: entry, Contents: []plan.Entry{table("e", "Describe", "Select")}},
		{Verb: plan.Allow, Entry: plan.Entry{Kind: "AllowedProject", Name: "p", Actions: []string{"label 2"}}},
		{Verb: plan.Allow, Entry: plan.Entry{Kind: "AllowedProject", Name: "q", Actions: []string{"label 1"}}, Previous: []string{"label 3"}, Denies: 1},
	}
	const summary = "created Package shared_pkg, added 3 entries, removed and added again 1 entry, removed 1 entry, allowed 2 projects, disallowed 1 project"
	if got := plan.Summary(steps); got != summary {
		t.Errorf("got %q, want %q", got, summary)
	}
	p := plan.Plan{Steps: steps}
	if p.Grants() != 6 || p.Revokes() != 5 {
		t.Errorf("%d grants and %d revocations, want 6 and 5", p.Grants(), p.Revokes())
	}
	const lines = `Disallow AllowedProject old
Create Package shared_pkg
Add Select on Table c to Package shared_pkg
Replace Describe, Select by Select, Update on Table d
Remove Describe, Select on Table e from Package shared_pkg
Allow label 2 on AllowedProject p
Allow label 1 on AllowedProject q`
	if got := p.String(); got != lines {
		t.Errorf("got\n%s\nwant\n%s", got, lines)
	}
	changed := slices.Clone(steps)
	changed[3].Previous = []string{"Describe"}
	if (plan.Plan{Steps: changed}).Hash() == p.Hash() {
		t.Error("what is taken away does not count in the hash")
	}
}
