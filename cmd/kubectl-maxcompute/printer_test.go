package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

func roleManifest(policy v1alpha1.ManagementPolicy) manifest {
	return manifest{kind: "ProjectRole", Object: &v1alpha1.ProjectRole{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "reader"},
		Spec:       v1alpha1.ProjectRoleSpec{ProjectName: "p", RoleName: "reader", ManagementPolicy: policy},
	}}
}

func entry(kind, name string, actions ...string) plan.Entry {
	return plan.Entry{Kind: kind, SchemaName: "default", Name: name, Actions: actions}
}

func TestPrint(t *testing.T) {
	steps := []plan.Step{
		{Verb: plan.RemoveMember, Entry: entry("Role", "reader"), Members: []string{"RAM$corp:bob"}},
		{Verb: plan.Grant, Entry: entry("Table", "orders", "Select")},
		{
			Verb: plan.SetPolicy, Entry: entry("Role", "reader"), Allows: 1,
			PreviousPolicy: `{"Statement":[{"Action":["odps:Select"],"Effect":"Allow"}],"Version":"1"}`,
			Policy:         `{"Statement":[{"Action":["odps:Drop"],"Effect":"Allow"}],"Version":"1"}`,
		},
		{Verb: plan.Revoke, Entry: entry("Table", "users", "Select", "Update")},
	}
	tests := map[string]struct {
		policy v1alpha1.ManagementPolicy
		steps  []plan.Step
		err    error
		want   string
	}{
		"nothing to do": {want: `ProjectRole n/reader: role reader in project p
  nothing to do

1 object looked at: 0 would change, 0 would not be worked on; grant 0, revoke 0
`},
		"everything": {steps: steps, want: `ProjectRole n/reader: role reader in project p
  - RemoveMember RAM$corp:bob from Role reader
  + Grant Select on Table orders
  ~ SetPolicy of Role reader
            {
              "Action": [
      -         "odps:Select"
      +         "odps:Drop"
              ],
              "Effect": "Allow"
  - Revoke Select, Update on Table users
  plan HASH

1 object looked at: 1 would change, 0 would not be worked on; grant 2, revoke 3
`},
		"a creation shows what it puts in": {
			steps: []plan.Step{{Verb: plan.Create, Entry: entry("Role", "reader"), Contents: []plan.Entry{entry("Table", "orders", "Select")}}},
			want: `ProjectRole n/reader: role reader in project p
  + Create Role reader
    + Select on Table orders
  plan HASH

1 object looked at: 1 would change, 0 would not be worked on; grant 1, revoke 0
`},
		"what stalls": {
			steps: steps[1:2], err: conditions.Stall(v1alpha1.ReasonAlreadyExists, "it exists"), want: `ProjectRole n/reader: role reader in project p
  AlreadyExists: it exists
  + Grant Select on Table orders
  plan HASH

1 object looked at: 0 would change, 1 would not be worked on; grant 0, revoke 0
`},
		"what is left over": {
			steps: steps[1:2], err: conditions.Wait(v1alpha1.ReasonPartiallyApplied, "a member is dead"), want: `ProjectRole n/reader: role reader in project p
  + Grant Select on Table orders
  PartiallyApplied: a member is dead
  plan HASH

1 object looked at: 1 would change, 0 would not be worked on; grant 1, revoke 0
`},
		"what is only observed": {policy: v1alpha1.ManagementObserve, steps: steps[1:2], want: `ProjectRole n/reader: role reader in project p
  managementPolicy is Observe: this differs, and nothing would be done about it
  + Grant Select on Table orders
  plan HASH

1 object looked at: 0 would change, 0 would not be worked on; grant 0, revoke 0
`},
		"what is suspended": {err: conditions.Wait(v1alpha1.ReasonSuspended, "spec.suspend is true"), want: `ProjectRole n/reader: role reader in project p
  Suspended: spec.suspend is true

1 object looked at: 0 would change, 0 would not be worked on; grant 0, revoke 0
`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := plan.Plan{Steps: tc.steps}
			var report Report
			report.add(roleManifest(tc.policy), p, tc.err)
			var out bytes.Buffer
			printer, err := newPrinter(&out, "", "never")
			if err != nil {
				t.Fatal(err)
			}
			if err := printer.print(report); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, strings.ReplaceAll(out.String(), p.Hash(), "HASH")); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestColour is for terminals, and a pipe is none.
func TestColour(t *testing.T) {
	var report Report
	report.add(roleManifest(""), plan.Plan{Steps: []plan.Step{{Verb: plan.Grant, Entry: entry("Table", "orders", "Select")}}}, nil)
	for color, want := range map[string]bool{"always": true, "never": false, "auto": false} {
		var out bytes.Buffer
		printer, err := newPrinter(&out, "", color)
		if err != nil {
			t.Fatal(err)
		}
		if err := printer.print(report); err != nil || strings.Contains(out.String(), "\x1b[32m+ Grant") != want {
			t.Errorf("--color %s: %v, %q", color, err, out.String())
		}
	}
	if _, err := newPrinter(nil, "", "sometimes"); err == nil {
		t.Error("--color sometimes is accepted")
	}
}
