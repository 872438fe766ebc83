package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// fifty are members, the first of whom is "RAM$corp:user00".
func fifty() []string {
	var members []string
	for i := range 50 {
		members = append(members, fmt.Sprintf("RAM$corp:user%02d", i))
	}
	return members
}

func withMembers(members ...string) *v1alpha1.ProjectRole {
	role := newRole("reader", nil)
	role.Spec.Members = members
	return role
}

func TestMembersAreWhomTheSpecNames(t *testing.T) {
	h := newHarness(t)
	role := withMembers("RAM$corp:alice", "ALIYUN$ops@example.com")
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(world{Members: []string{"ALIYUN$ops@example.com", "RAM$corp:alice"}})
	h.cloud.ResetJournal()
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Members = []string{"aliyun$OPS@example.com", "ram$Corp:ALICE"} })
	h.settle(role)
	if n := len(h.cloud.Writes()); n > 0 {
		t.Errorf("%d writes for the same members in another case", n)
	}
	h.must(h.cloud.AddMembers(project, "reader", "RAM$corp:stranger"))
	h.must(h.cloud.RemoveMembers(project, "reader", "RAM$corp:alice"))
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(world{Members: []string{"ALIYUN$ops@example.com", "RAM$corp:alice"}})
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Members = []string{} })
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(world{})
}

// TestNobodyGetsMoreThanTheirSpec: who has to go loses the role before it gains anything, and who comes gains it after it has lost what
// it should not have.
func TestNobodyGetsMoreThanTheirSpec(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	role.Spec.Members = []string{"RAM$corp:old"}
	h.create(role)
	h.settle(role)
	h.cloud.ResetJournal()
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL, r.Spec.Members = tables("Update"), []string{"RAM$corp:new"} })
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	var order []string
	for _, entry := range h.cloud.Journal() {
		for _, change := range entry.Changes {
			order = append(order, change.Change)
		}
	}
	want := []string{fakecloud.ChangeRemoveMember, fakecloud.ChangeGrant, fakecloud.ChangeRevoke, fakecloud.ChangeAddMember}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestOneMemberThatDoesNotExist costs the others nothing, and is named.
func TestOneMemberThatDoesNotExist(t *testing.T) {
	h := newHarness(t)
	members := fifty()
	h.must(h.cloud.AddUser(fakecloud.User{Principal: members[7]}))
	h.must(h.cloud.KillUser(members[7]))
	role := withMembers(members...)
	h.create(role)
	for range 2 {
		_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	}
	got := h.get(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := conditions.ReadyCondition(got).Message; !strings.Contains(message, "user07") || strings.Contains(message, "user08") {
		t.Errorf("message %q", message)
	}
	if n := len(h.cloud.Members(project, "reader")); n != 49 {
		t.Errorf("%d members, want 49", n)
	}
}

// TestADeadMemberAmongFifty: the account of one member is deleted, and the service does not list the members any more. Nobody else may
// suffer from that, and whoever has to act is told what to do.
func TestADeadMemberAmongFifty(t *testing.T) {
	h := newHarness(t)
	members := fifty()
	role := withMembers(members...)
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.must(h.cloud.KillUser("RAM$corp:user07"))
	h.cloud.ResetJournal()
	for range 3 {
		_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	}
	got := h.get(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := conditions.ReadyCondition(got).Message; !strings.Contains(message, "RAM$corp:user07 does not exist any more") || strings.Contains(message, "user08") {
		t.Errorf("message %q", message)
	}
	if n := len(h.cloud.Writes()); n > 0 {
		t.Errorf("%d writes while nobody knows who has the role", n)
	}
	// Somebody new can be added, and somebody else removed, all the same.
	h.edit(role, func(r *v1alpha1.ProjectRole) {
		r.Spec.Members = append(append([]string{}, members[:49]...), "RAM$corp:new")
	})
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	want := append(append([]string{}, members[:49]...), "RAM$corp:new")
	if diff := cmp.Diff(sorted(want), sorted(h.cloud.Members(project, "reader"))); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	// Without the dead one in the spec, it is removed, and all is well.
	h.edit(role, func(r *v1alpha1.ProjectRole) {
		r.Spec.Members = append(append([]string{}, members[:7]...), members[8:49]...)
	})
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if n := len(h.cloud.Members(project, "reader")); n != 48 {
		t.Errorf("%d members, want 48", n)
	}
	h.quiet(role)
}

// TestADeadMemberOfAnAdoptedRole is nobody whom the object knows: nothing is added again that may be there.
func TestADeadMemberOfAnAdoptedRole(t *testing.T) {
	h := newHarness(t)
	h.existing()
	role := withMembers("RAM$corp:alice", "RAM$corp:theirs")
	role.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.must(h.cloud.AddMembers(project, "reader", "RAM$corp:dead"))
	h.must(h.cloud.KillUser("RAM$corp:dead"))
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	got := h.get(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := conditions.ReadyCondition(got).Message; !strings.Contains(message, "none that this object knows") {
		t.Errorf("message %q", message)
	}
	if n := len(h.cloud.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
}

// TestAMemberOfNoKnownForm is reported and never removed.
func TestAMemberOfNoKnownForm(t *testing.T) {
	h := newHarness(t)
	role := withMembers("RAM$corp:alice")
	h.create(role)
	h.settle(role)
	h.must(h.cloud.AddRawMember(project, "reader", "v4_123456"))
	h.must(h.cloud.AddMembers(project, "reader", "RAM$corp:stranger"))
	h.cloud.ResetJournal()
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	got := h.get(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := conditions.ReadyCondition(got).Message; !strings.Contains(message, `"v4_123456"`) {
		t.Errorf("message %q", message)
	}
	h.mustHold(world{Members: []string{"RAM$corp:alice", "v4_123456"}})
	h.delete(role)
	if left := h.settle(role); left != nil || h.cloud.RoleExists(project, "reader") {
		t.Errorf("after the deletion: %s", describe(left))
	}
}

// TestADeadMemberDoesNotKeepARole: a role that the object made goes, dead member or not.
func TestADeadMemberDoesNotKeepARole(t *testing.T) {
	h := newHarness(t)
	role := withMembers("RAM$corp:alice", "RAM$corp:bob")
	h.create(role)
	h.settle(role)
	h.must(h.cloud.KillUser("RAM$corp:bob"))
	h.delete(role)
	if left := h.settle(role); left != nil || h.cloud.RoleExists(project, "reader") {
		t.Errorf("after the deletion: %s", describe(left))
	}
}

func sorted(list []string) []string {
	out := append([]string{}, list...)
	for i := range out {
		out[i] = strings.ToLower(out[i])
	}
	slices.Sort(out)
	return out
}
