package controllers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// withPolicy is a role with a policy and nothing else.
func withPolicy(document string) *v1alpha1.ProjectRole {
	role := newRole("reader", nil)
	role.Spec.Policy = raw(document)
	return role
}

func TestThePolicyIsWhatTheSpecSays(t *testing.T) {
	for _, echo := range []fakecloud.PolicyEcho{fakecloud.PolicyVerbatim, fakecloud.PolicyCanonical, fakecloud.PolicyNull} {
		t.Run(string(echo), func(t *testing.T) {
			h := newHarness(t)
			h.cloud.SetPolicyEcho(echo)
			role := withPolicy(policyOf("odps:Select", "tables/a", "tables/b"))
			h.create(role)
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.mustHold(world{Members: nil, Policy: []string{"tables/a", "tables/b"}})
			h.quiet(role)

			h.cloud.ResetJournal()
			h.edit(role, func(r *v1alpha1.ProjectRole) {
				r.Spec.Policy = raw(`{"Statement":[
					{"Resource":"acs:odps:*:projects/analytics/tables/b","Action":"odps:SELECT","Effect":"Allow"},
					{"Resource":["acs:odps:*:projects/analytics/tables/a","acs:odps:*:projects/analytics/tables/a"],"Action":["odps:select"],"Effect":"Allow"}],"Version":"1"}`)
			})
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if n := len(h.cloud.Writes()); n > 0 {
				t.Errorf("%d writes for the same meaning in other words", n)
			}
			h.must(h.cloud.SetPolicy(project, "reader", policyOf("odps:Drop", "tables/a")))
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.mustHold(world{Policy: []string{"tables/a", "tables/b"}})
			h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Policy = raw("{}") })
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.mustHold(world{})
		})
	}
}

// TestNullIsNoPolicyOnlyOfOnesOwnRole: what a role holds that somebody else made must not be overwritten on the strength of a guess.
func TestNullIsNoPolicyOnlyOfOnesOwnRole(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	h.cloud.SetPolicyEcho(fakecloud.PolicyNull)
	h.must(h.cloud.CreateRole(project, "reader", "resource"))
	role := withPolicy(policyOf("odps:Select", "tables/a"))
	role.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(role)
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonUnexpectedResponse)
	if n := len(h.cloud.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
}

// TestAPolicyThatDoesNotStick: after three writes without effect nothing more is written, until the spec changes.
func TestAPolicyThatDoesNotStick(t *testing.T) {
	for _, echo := range []fakecloud.PolicyEcho{fakecloud.PolicySticky, fakecloud.PolicyAltered} {
		t.Run(string(echo), func(t *testing.T) {
			h := newHarness(t)
			h.cloud.SetPolicyEcho(echo)
			role := withPolicy(policyOf("odps:Select", "tables/a"))
			h.create(role)
			for range 8 {
				_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
			}
			got := h.get(role)
			mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonNonConvergent)
			if n := h.cloud.Count("UpdateRole"); n != 3 {
				t.Errorf("%d writes, want 3", n)
			}
			if message := conditions.ReadyCondition(got).Message; !strings.Contains(message, "SetPolicy of Role reader") {
				t.Errorf("message %q", message)
			}
			h.quiet(role)
			h.cloud.SetPolicyEcho(fakecloud.PolicyVerbatim)
			h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Policy = raw(policyOf("odps:Select", "tables/b")) })
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.mustHold(world{Policy: []string{"tables/b"}})
		})
	}
}

func TestAPolicyThatIsNone(t *testing.T) {
	tests := map[string]struct{ policy, says string }{
		"no statement object": {`{"Version":"1","Statement":["x"]}`, "policy"},
		"too long":            {policyOf("odps:Select", strings.Repeat("x", 70000)), "65536"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			role := withPolicy(tc.policy)
			h.create(role)
			got := h.settle(role)
			mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
			if message := conditions.ReadyCondition(got).Message; !strings.Contains(message, tc.says) {
				t.Errorf("message %q", message)
			}
			if n := len(h.cloud.Journal()); n > 0 {
				t.Errorf("%d calls for a spec that can never work", n)
			}
		})
	}
}

// TestAPolicyThatTheServiceRefuses costs nothing else.
func TestAPolicyThatTheServiceRefuses(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	role.Spec.Policy = raw(policyOf("odps:Fly away", "tables/a"))
	role.Spec.Members = []string{"RAM$corp:alice"}
	h.create(role)
	for range 2 {
		_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	}
	got := h.get(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := conditions.ReadyCondition(got).Message; !strings.Contains(message, "invalid Action value") {
		t.Errorf("message %q", message)
	}
	h.mustHold(world{Grants: []string{"table default.orders: select"}, Members: []string{"RAM$corp:alice"}})
	if diff := cmp.Diff([]v1alpha1.DriftEntry{{Change: "SetPolicy", Kind: "Policy", Name: "reader"}}, got.Status.Drift); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
}

func TestAdminRoles(t *testing.T) {
	h := newHarness(t)
	role := withPolicy(`{"Version":"1","Statement":[{"Effect":"Allow","Action":["odps:CreateRole"],"Resource":["acs:odps:*:projects/analytics/authorization/roles/resource"]}]}`)
	role.Spec.Type = v1alpha1.RoleTypeAdmin
	role.Spec.Members = []string{"RAM$corp:alice"}
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if got := h.cloud.RoleType(project, "reader"); got != "admin" {
		t.Errorf("type %s", got)
	}
	h.mustHold(world{Members: []string{"RAM$corp:alice"}, Policy: []string{"authorization/roles/resource"}})
	h.cloud.ResetJournal()
	h.quiet(role)
	if n := h.cloud.Count("GetRoleAcl"); n > 0 {
		t.Errorf("%d looks at the ACL of a role that can have none", n)
	}
	h.must(h.cloud.DropRole(project, "reader"))
	h.restart()
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.delete(role)
	if left := h.settle(role); left != nil || h.cloud.RoleExists(project, "reader") {
		t.Errorf("after the deletion: %s", describe(left))
	}
}
