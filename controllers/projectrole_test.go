package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// sixtyGrants is an ACL of 60 objects of all kinds.
func sixtyGrants() *v1alpha1.RoleACL {
	acl := &v1alpha1.RoleACL{}
	for i := range 10 {
		acl.Tables = append(acl.Tables, v1alpha1.TableGrant{SchemaName: "default", Name: fmt.Sprintf("v_%d", i), Actions: []string{"Select"}})
		acl.Tables = append(acl.Tables, v1alpha1.TableGrant{SchemaName: "default", Name: fmt.Sprintf("t_%d", i), Actions: []string{"Describe", "Select"}})
		acl.Resources = append(acl.Resources, v1alpha1.ResourceGrant{SchemaName: "default", Name: fmt.Sprintf("lib_%d.jar", i), Actions: []string{"Read"}})
		acl.Functions = append(acl.Functions, v1alpha1.FunctionGrant{SchemaName: "default", Name: fmt.Sprintf("f_%d", i), Actions: []string{"Read", "Execute"}})
		acl.Packages = append(acl.Packages, v1alpha1.PackageGrant{Name: fmt.Sprintf("partner.pkg_%d", i), Actions: []string{"Read"}})
		acl.Instances = append(acl.Instances, v1alpha1.InstanceGrant{Name: fmt.Sprintf("i%d", i), Actions: []string{"Read"}})
	}
	acl.Tables = acl.Tables[:19]
	acl.Projects = []v1alpha1.ProjectGrant{{Name: project, Actions: []string{"List", "CreateInstance"}}}
	return acl
}

func TestSixtyGrantsTakeOneCreate(t *testing.T) {
	h := newHarness(t)
	for i := range 10 {
		h.share(fmt.Sprintf("pkg_%d", i))
	}
	h.cloud.ResetJournal()
	role := newRole("wide", sixtyGrants())
	h.create(role)
	got := h.settle(role)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if n := len(h.granted("wide")); n != 60 {
		t.Errorf("the role holds %d objects, want 60", n)
	}
	var calls []string
	for _, e := range h.cloud.Journal() {
		calls = append(calls, e.Action)
	}
	if diff := cmp.Diff([]string{"ListRoles", "ListPackages", "CreateRole", "GetRoleAcl"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if h.writes != 3 {
		t.Errorf("%d API writes, want 3: finalizer, intent, outcome", h.writes)
	}
	h.cloud.ResetJournal()
	h.quiet(role)
	if got := h.cloud.Journal(); len(got) != 1 || got[0].Action != "GetRoleAcl" {
		t.Errorf("a quiet pass made %v, want one GetRoleAcl", got)
	}
}

func TestManyRolesShareOneList(t *testing.T) {
	h := newHarness(t)
	for i := range 20 {
		role := newRole(fmt.Sprintf("r%d", i), tables("Select"))
		h.create(role)
		h.settle(role)
	}
	if n := h.cloud.Count("ListRoles"); n != 1 {
		t.Errorf("%d ListRoles for 20 new roles, want 1", n)
	}
	h.cloud.ResetJournal()
	for i := range 20 {
		h.quiet(newRole(fmt.Sprintf("r%d", i), nil))
	}
	if lists, acls := h.cloud.Count("ListRoles"), h.cloud.Count("GetRoleAcl"); lists != 0 || acls != 20 {
		t.Errorf("a quiet pass over 20 roles made %d ListRoles and %d GetRoleAcl, want 0 and 20", lists, acls)
	}
}

func TestSayingTheSameInAnotherWayCausesNoWrite(t *testing.T) {
	h := newHarness(t)
	acl := &v1alpha1.RoleACL{
		Tables: []v1alpha1.TableGrant{
			{SchemaName: "default", Name: "orders", Actions: []string{"Describe", "Select"}},
			{SchemaName: "ods", Name: "raw", Actions: []string{"All"}},
		},
		Instances: []v1alpha1.InstanceGrant{{Name: "*", Actions: []string{"Read"}}},
	}
	role := newRole("reader", acl)
	h.create(role)
	h.settle(role)
	before := h.granted("reader")
	variants := map[string]*v1alpha1.RoleACL{
		"reordered": {Instances: acl.Instances, Tables: []v1alpha1.TableGrant{acl.Tables[1], {SchemaName: "default", Name: "orders", Actions: []string{"Select", "Describe"}}}},
		"re-cased": {Instances: []v1alpha1.InstanceGrant{{Name: "*", Actions: []string{"READ"}}}, Tables: []v1alpha1.TableGrant{
			{SchemaName: "DEFAULT", Name: "Orders", Actions: []string{"describe", "SELECT"}}, {SchemaName: "ODS", Name: "RAW", Actions: []string{"all"}},
		}},
		"duplicated": {Instances: acl.Instances, Tables: append([]v1alpha1.TableGrant{{SchemaName: "default", Name: "ORDERS", Actions: []string{"Select", "select"}}}, acl.Tables...)},
		"with All written out": {Instances: acl.Instances, Tables: []v1alpha1.TableGrant{
			acl.Tables[0], {SchemaName: "ods", Name: "raw", Actions: []string{"Describe", "Select", "Alter", "Update", "Drop", "ShowHistory"}},
		}},
		"with the default schema left out": {Instances: acl.Instances, Tables: []v1alpha1.TableGrant{{Name: "orders", Actions: []string{"Describe", "Select"}}, acl.Tables[1]}},
	}
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = variant })
			h.cloud.ResetJournal()
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if writes := h.cloud.Writes(); len(writes) > 0 {
				t.Errorf("made writes: %v", writes)
			}
			if diff := cmp.Diff(before, h.granted("reader")); diff != "" {
				t.Errorf("grants changed:\n%s", diff)
			}
			h.quiet(role)
		})
	}
}

func TestLifecycleOfARole(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Describe", "Select"))
	h.create(role)
	got := h.settle(role)
	if !got.Status.Created || got.Status.Creating || got.Status.ObservedGeneration != 1 || got.Status.LastAppliedTime == nil {
		t.Errorf("status after creation: %+v", got.Status)
	}
	check := func(step string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, h.granted("reader")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
		h.quiet(role)
	}
	check("created", "table default.orders: describe select")

	orders := fakecloud.Grant{Kind: "table", SchemaName: "default", Name: "orders", Actions: []string{"select"}}
	if err := h.cloud.Revoke(project, "reader", orders); err != nil {
		t.Fatal(err)
	}
	h.settle(role)
	check("a grant revoked by hand comes back", "table default.orders: describe select")

	if err := h.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "function", SchemaName: "default", Name: "mask", Actions: []string{"execute"}}); err != nil {
		t.Fatal(err)
	}
	h.settle(role)
	check("a grant made by hand goes", "table default.orders: describe select")

	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = tables("Select") })
	h.settle(role)
	check("a grant dropped from the manifest goes", "table default.orders: select")

	if err := h.cloud.DropObject(project, "table", "default", "orders"); err != nil {
		t.Fatal(err)
	}
	h.settle(role)
	check("a table dropped and re-created gets its grant back", "table default.orders: select")

	if err := h.cloud.DropRole(project, "reader"); err != nil {
		t.Fatal(err)
	}
	h.settle(role)
	check("a role dropped by hand comes back", "table default.orders: select")

	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = &v1alpha1.RoleACL{} })
	h.settle(role)
	check("an empty acl means no permission")

	if err := h.cloud.AddMembers(project, "reader", "ALIYUN$somebody@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := h.kube.Delete(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if left := h.settle(role); left != nil || h.cloud.RoleExists(project, "reader") {
		t.Errorf("after the deletion: object %s, role exists: %v", describe(left), h.cloud.RoleExists(project, "reader"))
	}
}

func TestAbsentACLTakesBackOnceWhatWasGranted(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = nil })
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if got := h.granted("reader"); len(got) > 0 {
		t.Errorf("still granted: %v", got)
	}
	if err := h.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}); err != nil {
		t.Fatal(err)
	}
	h.quiet(role)
	if got := h.granted("reader"); len(got) != 1 {
		t.Errorf("an ACL that is not managed was changed: %v", got)
	}
}

func TestExistingRoleOfSomebodyElse(t *testing.T) {
	for name, spelling := range map[string]fakecloud.ExistsSpelling{"conflict": fakecloud.ExistsConflict, "unknown code": fakecloud.ExistsUnknownCode} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.cloud.SetExists(spelling)
			h.foreign = true
			// The list is known and lacks the role when somebody else creates it.
			other := newRole("other", tables("Select"))
			h.create(other)
			h.settle(other)
			if err := h.cloud.CreateRole(project, "theirs", "resource"); err != nil {
				t.Fatal(err)
			}
			role := newRole("Theirs", tables("Select"))
			h.create(role)
			got := h.settle(role)
			mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists)
			if got.Status.Created || got.Status.Creating || len(got.Status.Applied) > 0 {
				t.Errorf("a role of somebody else was claimed: %+v", got.Status)
			}
			if err := h.kube.Delete(t.Context(), role); err != nil {
				t.Fatal(err)
			}
			if h.settle(role) != nil || !h.cloud.RoleExists(project, "theirs") {
				t.Error("the object must go and the role stay")
			}
		})
	}
}

func TestOneMissingTableDoesNotCostTheOthers(t *testing.T) {
	h := newHarness(t)
	for i := range 59 {
		if err := h.cloud.DeclareObject(project, "table", "default", fmt.Sprintf("t_%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.cloud.SetStrict(project, true); err != nil {
		t.Fatal(err)
	}
	acl := &v1alpha1.RoleACL{}
	for i := range 60 {
		acl.Tables = append(acl.Tables, v1alpha1.TableGrant{SchemaName: "default", Name: fmt.Sprintf("t_%d", i), Actions: []string{"Select"}})
	}
	role := newRole("reader", acl)
	h.create(role)
	if _, err := h.pass(role); err == nil {
		t.Error("the pass must ask to be repeated")
	}
	got := h.get(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if n := len(h.granted("reader")); n != 59 {
		t.Errorf("%d tables granted, want 59", n)
	}
	if message := describe(got); !strings.Contains(message, "t_59") || !strings.Contains(message, "1 left, all other changes applied") {
		t.Errorf("the condition does not name the table: %s", message)
	}
	h.cloud.ResetJournal()
	_, _ = h.pass(role) //nolint:errcheck // what it cost is what counts
	if calls := len(h.cloud.Journal()); calls > 3 {
		t.Errorf("a failing role costs %d calls a pass, want at most 3", calls)
	}
	if err := h.cloud.DeclareObject(project, "table", "default", "t_59"); err != nil {
		t.Fatal(err)
	}
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

func TestSuspendAndRetain(t *testing.T) {
	h := newHarness(t)
	born := newRole("born_suspended", tables("Select"))
	born.Spec.Suspend = true
	h.create(born)
	mustBe(t, h.settle(born), metav1.ConditionUnknown, v1alpha1.ReasonSuspended)
	if calls := h.cloud.Journal(); len(calls) > 0 {
		t.Errorf("a suspended object made calls: %v", calls)
	}

	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Suspend, r.Spec.ACL = true, tables("Describe") })
	h.cloud.ResetJournal()
	got := h.settle(role)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if got.Status.ObservedGeneration != 1 || len(h.cloud.Journal()) > 0 {
		t.Errorf("suspension must leave the edit undecided and the cloud alone: %+v", got.Status)
	}
	if err := h.kube.Delete(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if h.settle(role) != nil || !h.cloud.RoleExists(project, "reader") {
		t.Error("deleting a suspended object must leave the role")
	}

	kept := newRole("kept", tables("Select"))
	kept.Spec.DeletionPolicy = v1alpha1.DeletionRetain
	h.create(kept)
	h.settle(kept)
	if err := h.kube.Delete(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if h.settle(kept) != nil || !h.cloud.RoleExists(project, "kept") {
		t.Error("Retain must let the object go and keep the role")
	}
}

func TestRequestedAtIsEchoed(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	stored := h.get(role)
	stored.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
	if err := h.kube.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if got := h.settle(role); got.Status.LastHandledReconcileAt != "now" {
		t.Errorf("lastHandledReconcileAt = %q", got.Status.LastHandledReconcileAt)
	}
	h.quiet(role)
}
