package plan_test

import (
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

func TestOnlyGrantsAndRevocationsStandAlone(t *testing.T) {
	want := map[plan.Verb]bool{plan.Create: false, plan.Grant: true, plan.Revoke: true, plan.RemoveMember: false, plan.Delete: false}
	for verb, independent := range want {
		if verb.Independent() != independent {
			t.Errorf("%s.Independent() = %v", verb, !independent)
		}
	}
}
