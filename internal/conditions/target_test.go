package conditions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

var reader = plan.Entry{Kind: "Role", Name: "reader"}

func newTarget() *v1alpha1.ProjectRole {
	return &v1alpha1.ProjectRole{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "reader", Generation: 3}}
}

func table(name string, actions ...string) plan.Entry {
	return plan.Entry{Kind: "Table", SchemaName: "default", Name: name, Actions: actions}
}

// revoking is a plan with so many revocations.
func revoking(n int) plan.Plan {
	p := plan.Plan{Holds: 1000}
	for i := range n {
		p.Steps = append(p.Steps, plan.Step{Verb: plan.Revoke, Entry: table(fmt.Sprintf("t%d", i), "Select")})
	}
	return p
}

// targetOutcomes are the outcomes that only what manages something in the cloud can have.
func targetOutcomes(t *testing.T) []conditions.Outcome {
	t.Helper()
	given := newTarget()
	var outcomes []conditions.Outcome
	for _, err := range []error{conditions.Unapproved(given, revoking(51), 50), conditions.Unsettled(given, revoking(1), revoking(1).Steps[0])} {
		outcomes = append(outcomes, conditions.FromError(err))
	}
	given.Status.Unsettled = 2
	return append(outcomes, conditions.FromError(conditions.Unsettled(given, revoking(1), revoking(1).Steps[0])))
}

func TestDriftNamesEveryDifference(t *testing.T) {
	steps := []plan.Step{
		{Verb: plan.RemoveMember, Entry: reader, Members: []string{"ALIYUN$old"}},
		{Verb: plan.Create, Entry: reader, Contents: []plan.Entry{table("a", "Select")}},
		{Verb: plan.Grant, Entry: plan.Entry{Kind: "Table", SchemaName: "ods", Name: "b", Actions: []string{"Describe", "Select"}}},
		{Verb: plan.SetPolicy, Entry: reader, Policy: "{}", Contents: []plan.Entry{{Kind: "Statement", Name: "f00"}}},
		{Verb: plan.Revoke, Entry: plan.Entry{Kind: "Project", Name: "p", Actions: []string{"List"}}},
		{Verb: plan.AddMember, Entry: reader, Members: []string{"ALIYUN$new", "RAM$corp:new"}},
		{Verb: plan.Adopt, Entry: reader},
	}
	want := []v1alpha1.DriftEntry{
		{Change: "RemoveMember", Kind: "Member", Name: "ALIYUN$old"},
		{Change: "Create", Kind: "Role", Name: "reader"},
		{Change: "Grant", Kind: "Table", SchemaName: "default", Name: "a", Actions: []string{"Select"}},
		{Change: "Grant", Kind: "Table", SchemaName: "ods", Name: "b", Actions: []string{"Describe", "Select"}},
		{Change: "SetPolicy", Kind: "Policy", Name: "reader"},
		{Change: "Revoke", Kind: "Project", Name: "p", Actions: []string{"List"}},
		{Change: "AddMember", Kind: "Member", Name: "ALIYUN$new"},
		{Change: "AddMember", Kind: "Member", Name: "RAM$corp:new"},
	}
	role := newTarget()
	conditions.SetDrift(role, steps)
	if diff := cmp.Diff(want, role.Status.Drift); diff != "" || int(role.Status.DriftCount) != len(want) {
		t.Errorf("driftCount %d; drift (-want +got):\n%s", role.Status.DriftCount, diff)
	}
	conditions.SetDrift(role, nil)
	if len(role.Status.Drift) > 0 || role.Status.DriftCount != 0 {
		t.Errorf("drift stays: %v", role.Status.Drift)
	}
}

func TestDriftOfAPackage(t *testing.T) {
	pkg := plan.Entry{Kind: "Package", Name: "shared"}
	table := func(name string, actions ...string) plan.Entry {
		return plan.Entry{Kind: "Table", SchemaName: "default", Name: name, Actions: actions}
	}
	steps := []plan.Step{
		{Verb: plan.Disallow, Entry: plan.Entry{Kind: "AllowedProject", Name: "old"}},
		{Verb: plan.Create, Entry: pkg, Contents: []plan.Entry{table("a", "Select")}},
		{Verb: plan.Add, Entry: pkg, Contents: []plan.Entry{table("b", "Select"), table("c", "Select")}},
		{Verb: plan.Replace, Entry: table("d", "Select", "Update"), Previous: []string{"Describe", "Select"}},
		{Verb: plan.Remove, Entry: pkg, Contents: []plan.Entry{table("e", "Select")}},
		{Verb: plan.Allow, Entry: plan.Entry{Kind: "AllowedProject", Name: "new", Actions: []string{"label 2"}}},
		{Verb: plan.Replace, Entry: plan.Entry{Kind: "AllowedProject", Name: "other", Actions: []string{"label 3"}}, Previous: []string{"label 1"}},
	}
	var got []string
	role := newTarget()
	conditions.SetDrift(role, steps)
	for _, d := range role.Status.Drift {
		got = append(got, strings.Join(append([]string{string(d.Change), d.Kind, d.Name}, d.Actions...), " "))
	}
	want := []string{
		"Disallow AllowedProject old", "Create Package shared", "Add Table a Select", "Add Table b Select", "Add Table c Select",
		"Add Table d Update", "Remove Table d Describe", "Remove Table e Select", "Allow AllowedProject new label 2",
		"Allow AllowedProject other label 3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
}

func TestDriftIsBounded(t *testing.T) {
	role := newTarget()
	p := revoking(300)
	p.Steps[0].Name = strings.Repeat("é", 600)
	conditions.SetDrift(role, p.Steps)
	if len(role.Status.Drift) != 20 || role.Status.DriftCount != 300 || len(role.Status.Drift[0].Name) > 512 {
		t.Errorf("%d entries for %d differences, the first with a name of %d bytes", len(role.Status.Drift), role.Status.DriftCount, len(role.Status.Drift[0].Name))
	}
}

func TestOnlyWhatObservesIsDrifted(t *testing.T) {
	drifted := func(role *v1alpha1.ProjectRole) *metav1.Condition {
		for i := range role.Status.Conditions {
			if role.Status.Conditions[i].Type == v1alpha1.DriftedCondition {
				return &role.Status.Conditions[i]
			}
		}
		return nil
	}
	role := newTarget()
	conditions.SetDrift(role, revoking(2).Steps)
	if drifted(role) != nil {
		t.Error("an object that corrects what differs is Drifted")
	}
	role.Spec.ManagementPolicy = v1alpha1.ManagementObserve
	conditions.SetDrift(role, revoking(2).Steps)
	if c := drifted(role); c == nil || c.Status != metav1.ConditionTrue || c.Message != "to be as specified: revoke 2" {
		t.Errorf("condition %v", c)
	}
	conditions.SetDrift(role, nil)
	if drifted(role) != nil {
		t.Error("an object without a difference is Drifted")
	}
}

func TestAMassRevokeNeedsAYes(t *testing.T) {
	role := newTarget()
	small, large := revoking(50), revoking(51)
	if err := conditions.Unapproved(role, small, 50); err != nil || role.Status.PendingPlan != nil {
		t.Fatalf("error %v, pending plan %v", err, role.Status.PendingPlan)
	}
	outcome := conditions.FromError(conditions.Unapproved(role, large, 50))
	want := &v1alpha1.PendingPlan{Hash: large.Hash(), Summary: "revoke 51", Revokes: 51}
	if diff := cmp.Diff(want, role.Status.PendingPlan); diff != "" || outcome.State != conditions.Stalled || !strings.Contains(outcome.Message, want.Hash) {
		t.Errorf("outcome %v; pending plan (-want +got):\n%s", outcome, diff)
	}
	role.Annotations = map[string]string{v1alpha1.ApprovePlanAnnotation: revoking(52).Hash()}
	if err := conditions.Unapproved(role, large, 50); err == nil || !strings.Contains(err.Error(), "approves another plan") {
		t.Errorf("with the approval of another plan: %v", err)
	}
	role.Annotations[v1alpha1.ApprovePlanAnnotation] = large.Hash()
	if err := conditions.Unapproved(role, large, 50); err != nil {
		t.Errorf("with its approval: %v", err)
	}
}

func TestWritesThatDoNotStickAreGivenUp(t *testing.T) {
	p := revoking(2)
	role := newTarget()
	for i, wait := range []time.Duration{5 * time.Second, 10 * time.Second} {
		if err := conditions.GivenUp(role, p); err != nil {
			t.Fatalf("before write %d: %v", i+1, err)
		}
		err := conditions.Unsettled(role, p, p.Steps[0])
		if outcome := conditions.FromError(err); outcome.State != conditions.Reconciling || outcome.RetryAfter != wait {
			t.Fatalf("after write %d: %v", i+1, outcome)
		}
	}
	err := conditions.Unsettled(role, p, p.Steps[0])
	outcome := conditions.FromError(err)
	if outcome.State != conditions.Stalled || outcome.Reason != v1alpha1.ReasonNonConvergent || !strings.Contains(outcome.Message, "Revoke Select on Table t0") {
		t.Fatalf("after the third write: %v", outcome)
	}
	conditions.Set(role, outcome)
	if again := conditions.FromError(conditions.GivenUp(role, p)); again.Message != outcome.Message {
		t.Errorf("the next pass says %v", again)
	}
	for name, retry := range map[string]func(*v1alpha1.ProjectRole){
		"a changed spec": func(r *v1alpha1.ProjectRole) { r.Generation++ },
		"a pass asked for": func(r *v1alpha1.ProjectRole) {
			r.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
		},
		"a cloud as it should": func(r *v1alpha1.ProjectRole) { conditions.Settled(r) },
	} {
		retried := role.DeepCopy()
		retry(retried)
		if err := conditions.GivenUp(retried, p); err != nil || retried.Status.Unsettled != 0 {
			t.Errorf("%s: %v after %d writes", name, err, retried.Status.Unsettled)
		}
	}
}
