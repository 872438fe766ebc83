package controllers_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestLostReplyAndAListThatLags: the reply to the create is lost, and neither list nor ACL shows the role yet, so that it is created a
// second time. The refusal of that must not make the operator think that the role is somebody else's.
func TestLostReplyAndAListThatLags(t *testing.T) {
	for name, spelling := range map[string]fakecloud.ExistsSpelling{"conflict": fakecloud.ExistsConflict, "unknown code": fakecloud.ExistsUnknownCode} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.cloud.SetExists(spelling)
			role := newRole("reader", tables("Select"))
			h.create(role)
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Action: "ListRoles", StaleBeforeSeq: h.cloud.LastSeq() + 1, Times: 3})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Action: "GetRoleAcl", StaleBeforeSeq: h.cloud.LastSeq() + 1, Times: 1})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Action: "CreateRole", Times: 1})
			got := h.settle(role)
			mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if !got.Status.Created || got.Status.Creating {
				t.Errorf("the role is not known to be ours: %+v", got.Status)
			}
			if n := h.cloud.Count("CreateRole"); n < 2 {
				t.Errorf("%d CreateRole: the list did not lag, so nothing was shown", n)
			}
		})
	}
}

// TestListThatLagsBehindOurRole: a list that lacks a role which was there before must not be believed without asking again.
func TestListThatLagsBehindOurRole(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	// A list from before the creation, read for another role of the project.
	h.restart()
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Action: "ListRoles", StaleBeforeSeq: 1, Times: 1})
	other := newRole("other", tables("Select"))
	h.create(other)
	h.settle(other)
	h.cloud.ResetJournal()
	h.quiet(role)
	if n := h.cloud.Count("ListRoles"); n != 1 {
		t.Errorf("%d ListRoles, want one that is fresh", n)
	}
}

// TestACLThatIsGoneWhileTheListShowsTheRole: only a fresh list decides between the two.
func TestACLThatIsGoneWhileTheListShowsTheRole(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	h.cloud.ResetJournal()
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Action: "GetRoleAcl", Status: 404, Code: "OBJECT_NOT_EXIST", Message: "role not found", Times: 1})
	if _, err := h.pass(role); err == nil {
		t.Error("the contradiction must be looked at again")
	}
	if writes := h.cloud.Writes(); len(writes) > 0 {
		t.Errorf("made writes on the strength of it: %v", writes)
	}
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonProgressing)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// TestAbsentACLLeavesTheGrantsOfOthers: what is taken back is what this object granted, not what somebody else added.
func TestAbsentACLLeavesTheGrantsOfOthers(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	if err := h.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: "theirs", Actions: []string{"Select"}}); err != nil {
		t.Fatal(err)
	}
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = nil })
	got := h.settle(role)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if diff := cmp.Diff([]string{"table default.theirs: select"}, h.granted("reader")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(got.Status.Applied) > 0 {
		t.Errorf("still in the inventory: %v", got.Status.Applied)
	}
}

// TestInventoryFollowsTheSpec: it holds what the spec lists, also while that is missing in the cloud, and nothing that is neither
// listed nor there.
func TestInventoryFollowsTheSpec(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", &v1alpha1.RoleACL{Tables: []v1alpha1.TableGrant{
		{SchemaName: "default", Name: "orders", Actions: []string{"Select"}}, {SchemaName: "default", Name: "old", Actions: []string{"Select"}},
	}})
	h.create(role)
	h.settle(role)
	inventory := func(want ...string) {
		t.Helper()
		var got []string
		for _, e := range h.get(role).Status.Applied {
			got = append(got, e.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("inventory (-want +got):\n%s", diff)
		}
	}
	inventory("old", "orders")

	// Both tables are dropped in the cloud; the spec goes on listing one of them, and the service refuses its grant.
	for _, name := range []string{"orders", "old"} {
		if err := h.cloud.DropObject(project, "table", "default", name); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.cloud.SetStrict(project, true); err != nil {
		t.Fatal(err)
	}
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = tables("Select") })
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	inventory("orders")

	// A failing role does not write its status again and again.
	version := h.get(role).ResourceVersion
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	if h.get(role).ResourceVersion != version {
		t.Error("the same failure changed the object")
	}
}
