package controllers_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// rival makes an object that names the role "reader", so many seconds after the first.
func rival(name, roleName string, after int) *v1alpha1.ProjectRole {
	role := newRole(roleName, tables("Select"))
	role.Name, role.UID = name, types.UID("uid-"+name)
	role.CreationTimestamp = metav1.NewTime(time.Date(2026, 11, 21, 0, 0, after, 0, time.UTC))
	return role
}

// TestOneOwnerPerRole: of two objects that name one role, the one works that made it, whichever is older.
func TestOneOwnerPerRole(t *testing.T) {
	for _, order := range []string{"older first", "younger first", "of one second"} {
		t.Run(order, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true // the role is only one of the two objects'
			a, b := rival("a", "reader", 0), rival("b", "READER", 1)
			if order == "of one second" {
				b.CreationTimestamp = a.CreationTimestamp
			}
			h.create(a)
			h.create(b)
			first, second := a, b
			if order == "younger first" {
				first, second = b, a
			}
			h.settle(first)
			h.settle(second)
			mustBe(t, h.get(first), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			mustBe(t, h.get(second), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
			if n := h.cloud.Count("CreateRole"); n != 1 {
				t.Errorf("%d CreateRole, want 1", n)
			}
			h.delete(first)
			h.settle(first)
			mustBe(t, h.settle(second), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		})
	}
}

// TestTwoUnknownOutcomes: both objects' creates may have made the role that is found. Only one may claim it.
func TestTwoUnknownOutcomes(t *testing.T) {
	h := newHarness(t)
	h.foreign = true // the role is only one of the two objects'
	a, b := rival("a", "reader", 0), rival("b", "reader", 1)
	h.create(b)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Action: "CreateRole", Times: 2})
	h.try(b, 1)
	a.Status.Creating, a.Status.Endpoint, a.Finalizers = true, h.url, []string{v1alpha1.Finalizer}
	h.create(a) // older, and seen later
	h.try(a, 1)
	h.settle(a)
	h.settle(b)
	mustBe(t, h.get(a), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	mustBe(t, h.get(b), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
}

// TestTheSameNameElsewhereIsNoConflict: a project of the same name at another service is another project.
func TestTheSameNameElsewhereIsNoConflict(t *testing.T) {
	h, other := newHarness(t), newHarness(t)
	elsewhere := h.newConnection()
	elsewhere.Name, elsewhere.UID = "elsewhere", "elsewhere"
	elsewhere.Spec.AlibabaCloud.Endpoints = &v1alpha1.AlibabaCloudEndpoints{MaxCompute: other.url, ODPS: other.url + "/api"}
	h.create(elsewhere)
	a, b := rival("a", "reader", 0), rival("b", "reader", 1)
	b.Spec.ConnectionRef.Name = "elsewhere"
	for i, role := range []*v1alpha1.ProjectRole{a, b} {
		h.create(role)
		h.foreign = i == 1 // the role at the first service is the other object's
		mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	}
	if got := fmt.Sprint(h.cloud.Roles(project), other.cloud.Roles(project)); got != "[reader] [reader]" {
		t.Errorf("roles: %s", got)
	}
}

// TestARoleThatBelongsToAnOlderObjectIsNotTakenAway: two objects have a claim, as those could that earlier versions took for owners one
// after the other. The older one owns the role, and the deletion of the younger one leaves it.
func TestARoleThatBelongsToAnOlderObjectIsNotTakenAway(t *testing.T) {
	h := newHarness(t)
	h.foreign = true // the role is only one of the two objects'
	a, b := rival("a", "reader", 0), rival("b", "reader", 1)
	h.create(b)
	mustBe(t, h.settle(b), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	a.Status.Adopted, a.Status.Endpoint, a.Finalizers = true, h.url, []string{v1alpha1.Finalizer}
	h.create(a)
	mustBe(t, h.settle(a), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	mustBe(t, h.settle(b), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
	writes := len(h.cloud.Writes())
	h.delete(b)
	if left := h.settle(b); left != nil {
		t.Errorf("after the deletion: %s", describe(left))
	}
	if n := len(h.cloud.Writes()) - writes; n > 0 || !h.cloud.RoleExists(project, "reader") {
		t.Errorf("%d writes; the role exists: %v", n, h.cloud.RoleExists(project, "reader"))
	}
}

// TestAnObjectOfThisMomentAdoptsNothing: whoever made the role may be an object that this one does not see yet.
func TestAnObjectOfThisMomentAdoptsNothing(t *testing.T) {
	h := newHarness(t)
	h.existing()
	role := wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionAdopt)
	role.CreationTimestamp = metav1.NewTime(time.Now().Add(time.Hour)) // a moment that does not pass during the test
	h.create(role)
	h.try(role, 1)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonProgressing)
	h.mustHold(theirs)
	if n := len(h.cloud.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
}
