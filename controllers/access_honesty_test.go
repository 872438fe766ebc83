package controllers_test

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestWhatWasNotReadIsNotMissing: of what could not be read, nobody knows what it lacks.
func TestWhatWasNotReadIsNotMissing(t *testing.T) {
	for name, c := range map[string]struct {
		refused string
		want    []string
	}{
		"everything is read":   {"", []string{"ACL entry Drop on Table orders", `policy statement {"Action":["odps:Drop"],"Effect":"Allow","Resource":["acs:odps:*:projects/analytics/tables/orders"]}`}},
		"the ACL is refused":   {"GetRoleAcl", []string{`policy statement {"Action":["odps:Drop"],"Effect":"Allow","Resource":["acs:odps:*:projects/analytics/tables/orders"]}`}},
		"policies are refused": {"GetRolePolicy", []string{"ACL entry Drop on Table orders"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.must(h.cloud.CreateRole(project, "reader", "resource"))
			role := newRole("reader", tables("Drop"))
			role.Spec.Policy = &runtime.RawExtension{Raw: []byte(policyOf("odps:Drop", "tables/orders"))}
			h.create(role)
			if c.refused != "" {
				h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, c.refused, ""))
			}
			roles := h.access().Roles
			if diff := gocmp.Diff(c.want, roles[slices.IndexFunc(roles, func(r *access.Role) bool { return r.Name == "reader" })].Missing()); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequestsThatGavePartOfWhatTheyAskFor are not left out, nor those whose end is not in their object yet: what they gave is in doubt.
func TestRequestsThatGavePartOfWhatTheyAskFor(t *testing.T) {
	order := func(id string, state v1alpha1.RequestState) v1alpha1.PermissionOrder {
		return v1alpha1.PermissionOrder{ID: id, State: state}
	}
	const partly = "RAM$corp:alice Unclear: request, Allow Declared " + namespace + "/request only some of its orders were granted"
	for name, c := range map[string]struct {
		state v1alpha1.RequestState
		// end is from now.
		end    time.Duration
		orders []v1alpha1.PermissionOrder
		want   []string
	}{
		"granted, without an end":          {state: v1alpha1.RequestGranted, want: []string{"RAM$corp:alice Allowed: request, Allow Declared " + namespace + "/request"}},
		"granted, for a while":             {state: v1alpha1.RequestGranted, end: time.Hour, want: []string{"RAM$corp:alice Allowed: request, Allow Declared " + namespace + "/request"}},
		"granted, and should have ended":   {state: v1alpha1.RequestGranted, end: -time.Hour, want: []string{"RAM$corp:alice Unclear: request, Allow Declared " + namespace + "/request its end has passed"}},
		"one of two orders is pending":     {state: v1alpha1.RequestPending, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestGranted), order("2", v1alpha1.RequestPending)}, want: []string{partly}},
		"approved, and granted in part":    {state: v1alpha1.RequestGrantFailed, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestGrantFailed)}, want: []string{partly}},
		"waiting":                          {state: v1alpha1.RequestPending, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestPending)}},
		"over, of an order that was given": {state: v1alpha1.RequestExpired, end: -time.Hour, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestGranted)}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.must(h.cloud.AddUser(fakecloud.User{AccountID: alice, Principal: "RAM$corp:alice"}))
			apply := newRequest("request")
			h.create(apply)
			apply = stored(h, apply)
			apply.Status.State, apply.Status.Orders = c.state, c.orders
			if c.end != 0 {
				apply.Status.GrantedUntil = new(metav1.NewTime(h.clock.Now().Add(c.end)))
			}
			h.must(h.kube.Status().Update(t.Context(), apply))
			if diff := gocmp.Diff(c.want, lines(h.whoCan(h.access()))); diff != "" {
				t.Errorf("chains (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAccountsWithoutANameAreTold: their roles are listed by name, so that what these deny cannot be counted.
func TestAccountsWithoutANameAreTold(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	for _, name := range []string{"first", "second"} {
		apply := newRequest(name, func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{"267842600408990000"} })
		h.create(apply)
		apply = stored(h, apply)
		apply.Status.State = v1alpha1.RequestGranted
		h.must(h.kube.Status().Update(t.Context(), apply))
	}
	want := []string{"what account 267842600408990000 is called, which a permission request was granted to: what its roles give or deny it is not counted for it"}
	if diff := gocmp.Diff(want, h.access().Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}
