package controllers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// endlessFaults are what can go wrong with a call for ever: one of each class of failure.
var endlessFaults = map[string]fakecloud.Fault{
	"refused":                      {Kind: fakecloud.FaultError, Status: 400, Code: "InvalidParameter", Message: "no"},
	"access denied":                {Kind: fakecloud.FaultAccessDenied},
	"server error":                 {Kind: fakecloud.FaultServerError},
	"HTML page of a proxy":         {Kind: fakecloud.FaultHTML502},
	"HTML 404 of another server":   {Kind: fakecloud.FaultWrongEndpoint},
	"404 with an unknown code":     {Kind: fakecloud.FaultError, Status: 404, Code: "InvalidAction.NotFound", Message: "no such action"},
	"lost before the call":         {Kind: fakecloud.FaultDropBefore},
	"unknown code inside HTTP 200": {Kind: fakecloud.FaultErrorInside, Code: "ODPS-0110061", Message: "Failed to run"},
	"internal error in HTTP 200":   {Kind: fakecloud.FaultErrorInside, Code: "ODPS-0010000", Message: "System internal error"},
	"throttled":                    {Kind: fakecloud.FaultThrottle},
}

// TestOneBrokenCallKeepsNoLeaver: whatever call of a role fails, in whatever way and for ever, all
// that left the spec leaves the cloud but for what that call alone could have taken away; and the
// object says that something is wrong.
func TestOneBrokenCallKeepsNoLeaver(t *testing.T) {
	broken := map[string]struct {
		fault fakecloud.Fault
		// stays is what may be left of what has to go.
		stays []string
	}{
		"the list of roles":       {fakecloud.Fault{Action: "ListRoles"}, nil},
		"the ACL":                 {fakecloud.Fault{Action: "GetRoleAcl"}, nil},
		"the policy":              {fakecloud.Fault{Action: "GetRolePolicy"}, []string{"policy"}},
		"the members":             {fakecloud.Fault{Action: "ListUsersByRole"}, nil},
		"setting the policy":      {fakecloud.Fault{Action: "UpdateRole"}, []string{"policy"}},
		"changing members":        {fakecloud.Fault{Action: "UpdateUsersToRole"}, []string{"member"}},
		"granting on one table":   {fakecloud.Fault{Statement: "ON TABLE new_1 TO"}, nil},
		"granting on any table":   {fakecloud.Fault{Statement: "GRANT"}, nil},
		"revoking from one table": {fakecloud.Fault{Statement: "ON TABLE old_1 FROM"}, []string{"old_1"}},
	}
	for name, tc := range broken {
		for kind, fault := range endlessFaults {
			for _, deleting := range []bool{false, true} {
				what := name + ", " + kind
				if deleting {
					what += ", deleting an adopted role"
				}
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					h := newHarness(t)
					role := leavers(h, deleting)
					fault.Action, fault.Statement = tc.fault.Action, tc.fault.Statement
					h.cloud.Inject(fault)
					h.leave(role, deleting)
					h.passes(role, 8)
					if diff := cmp.Diff(tc.stays, h.left()); diff != "" && len(h.left()) > len(tc.stays) {
						t.Errorf("what is left (-allowed +got):\n%s\n%s", diff, describe(h.get(role)))
					}
					if got := h.get(role); got != nil && len(h.left()) > 0 && (conditions.IsReady(got) || conditions.ReadyCondition(got).ObservedGeneration != got.Generation) {
						t.Errorf("the object says %s", describe(got))
					}
				})
			}
		}
	}
}

// leavers makes a role with what is to go and what is to stay; or has an object adopt it that put
// what is to go there.
func leavers(h *harness, adopted bool) *v1alpha1.ProjectRole {
	h.t.Helper()
	role := newRole("reader", &v1alpha1.RoleACL{Tables: []v1alpha1.TableGrant{table("kept", "Select"), table("old_1", "Select"), table("old_2", "Select")}})
	role.Spec.Policy, role.Spec.Members = raw(policyOf("odps:Select", "tables/old_p")), []string{"RAM$corp:kept", "RAM$corp:mallory"}
	if adopted {
		h.foreign = true
		h.must(h.cloud.CreateRole(project, "reader", "resource"))
		role.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	}
	h.create(role)
	mustBe(h.t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	// The lists that were read until now are too old by the time of the change.
	h.clock.ahead.Add(int64(2 * interval))
	return role
}

// leave takes out of the spec what is to go, and puts in something new; or deletes the object.
func (h *harness) leave(role *v1alpha1.ProjectRole, deleting bool) {
	h.t.Helper()
	if deleting {
		h.delete(role)
		return
	}
	h.edit(role, func(r *v1alpha1.ProjectRole) {
		r.Spec.ACL.Tables = []v1alpha1.TableGrant{table("kept", "Select"), table("new_1", "Select"), table("new_2", "Select")}
		r.Spec.Policy, r.Spec.Members = raw(policyOf("odps:Select", "tables/new_p")), []string{"RAM$corp:kept", "RAM$corp:new"}
	})
}

// left lists what is still there of what had to go.
func (h *harness) left() []string {
	var left []string
	held := h.world("reader")
	if slices.Contains(held.Members, "RAM$corp:mallory") {
		left = append(left, "member")
	}
	for _, table := range []string{"old_1", "old_2"} {
		if slices.ContainsFunc(held.Grants, func(g string) bool { return strings.Contains(g, table) }) {
			left = append(left, table)
		}
	}
	if slices.Contains(held.Policy, "tables/old_p") {
		left = append(left, "policy")
	}
	return left
}

// brokenAnswers are one of each class of failure.
var brokenAnswers = map[string]brokenAnswer{
	"refused":                      {http.StatusBadRequest, `{"requestId":"x","errorCode":"InvalidParameter","errorMsg":"no"}`},
	"server error":                 {http.StatusInternalServerError, `{"requestId":"x","errorCode":"InternalError","errorMsg":"no"}`},
	"404 of another server":        {http.StatusNotFound, "<html>nothing here</html>"},
	"unknown code inside HTTP 200": {http.StatusOK, `{"requestId":"x","httpCode":400,"errorCode":"ODPS-0110061","errorMsg":"Failed to run"}`},
	"connection lost":              {},
}

// TestOneBrokenMemberKeepsNoOther: members come and go in one call. One of them that breaks it
// costs the others nothing.
func TestOneBrokenMemberKeepsNoOther(t *testing.T) {
	for kind, with := range brokenAnswers {
		t.Run(kind, func(t *testing.T) {
			h := newHarness(t)
			role := newRole("reader", tables("Select"))
			role.Spec.Members = []string{"RAM$corp:kept", "RAM$corp:mallory", "RAM$corp:broken"}
			h.create(role)
			h.settle(role)
			h.breaking(with, func(r *http.Request, body string) bool {
				return r.Method == http.MethodPut && strings.Contains(body, "ram$corp:broken")
			})
			h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Members = []string{"RAM$corp:kept", "RAM$corp:new"} })
			h.passes(role, 12)
			want := []string{"RAM$corp:broken", "RAM$corp:kept", "RAM$corp:new"}
			if diff := cmp.Diff(want, h.world("reader").Members); diff != "" {
				t.Errorf("members (-want +got):\n%s\n%s", diff, describe(h.get(role)))
			}
		})
	}
}

// TestOneBrokenEntryKeepsNoOther: what leaves a package leaves it, though another entry cannot be
// added.
func TestOneBrokenEntryKeepsNoOther(t *testing.T) {
	for kind, with := range brokenAnswers {
		t.Run(kind, func(t *testing.T) {
			h := newHarness(t)
			pkg := newPackage("pkg", ofTables(table("kept", "Select"), table("old", "Select")), allow("kept", 0), allow("gone", 0))
			h.create(pkg)
			mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.breaking(with, func(r *http.Request, body string) bool {
				return r.Method == http.MethodPut && strings.Contains(body, "broken")
			})
			edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
				p.Spec.Resources, p.Spec.AllowedProjects = ofTables(table("kept", "Select"), table("broken", "Select"), table("new", "Select")), p.Spec.AllowedProjects[:1]
			})
			h.passes(pkg, 12)
			h.mustShare(held{Grants: []string{"table default.kept: select", "table default.new: select"}, Allowed: []string{"kept 0"}})
		})
	}
}

// TestAPassOverARoleCanBeStopped: a hundred grants and a new member are under way when somebody
// thinks better of it.
func TestAPassOverARoleCanBeStopped(t *testing.T) {
	changes := map[string]func(*harness, *v1alpha1.ProjectRole){
		"suspended": func(h *harness, role *v1alpha1.ProjectRole) {
			h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Suspend = true })
		},
		"a member taken out again": func(h *harness, role *v1alpha1.ProjectRole) {
			h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Members = []string{} })
		},
		"retained and deleted": func(h *harness, role *v1alpha1.ProjectRole) {
			h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.DeletionPolicy = v1alpha1.DeletionRetain })
			h.delete(role)
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			role := newRole("reader", &v1alpha1.RoleACL{})
			role.Spec.Members = []string{}
			h.create(role)
			h.settle(role)
			h.edit(role, func(r *v1alpha1.ProjectRole) {
				r.Spec.Members = []string{"RAM$corp:mallory"}
				for i := range 100 {
					r.Spec.ACL.Tables = append(r.Spec.ACL.Tables, table(fmt.Sprintf("t_%d", i), "Select"))
				}
			})
			before := len(h.cloud.Writes())
			h.crash = func(_ int64, early bool) {
				if !early && len(h.cloud.Writes()) == before+3 {
					h.crash = nil
					change(h, role)
				}
			}
			h.try(role, 1)
			if n := len(h.cloud.Writes()) - before; n > 4 {
				t.Errorf("%d writes, want at most one after the third", n)
			}
			h.passes(role, 4)
			if members := h.world("reader").Members; len(members) > 0 {
				t.Errorf("members: %v", members)
			}
		})
	}
}

// TestARoleThatCannotConvergeCostsNoMore: once the same was refused three times, a role that names
// a table that does not exist makes no more calls than one that is as it should be; and it is tried
// at once when its spec changes or somebody asks.
func TestARoleThatCannotConvergeCostsNoMore(t *testing.T) {
	calls := func(missing int) int {
		h := newHarness(t)
		h.must(h.cloud.SetStrict(project, true))
		h.must(h.cloud.DeclareObject(project, "table", "default", "orders"))
		role := newRole("reader", tables("Select"))
		for i := range missing {
			role.Spec.ACL.Tables = append(role.Spec.ACL.Tables, table(fmt.Sprintf("missing_%d", i), "Select"))
		}
		h.create(role)
		h.passes(role, 2)
		if result, err := h.pass(role); err == nil {
			h.clock.ahead.Add(int64(result.RequeueAfter))
		}
		h.cloud.ResetJournal()
		for began := h.clock.Now(); h.clock.Since(began) < 24*interval; {
			result, err := h.pass(role)
			if err != nil || result.RequeueAfter == 0 {
				t.Fatalf("result %v, error %v", result, err)
			}
			h.clock.ahead.Add(int64(result.RequeueAfter))
		}
		n := len(h.cloud.Journal())
		h.must(h.cloud.DeclareObject(project, "table", "default", "missing_0"))
		h.annotate(role, v1alpha1.RequestedAtAnnotation, "now")
		h.passes(role, 1)
		if got := h.granted("reader"); missing > 0 && len(got) != 2 {
			t.Errorf("asked for, the table that is there now is not granted: %v", got)
		}
		return n
	}
	healthy := calls(0)
	for _, missing := range []int{1, 20} {
		if n := calls(missing); n > healthy+2 {
			t.Errorf("%d missing tables cost %d calls in 24 intervals, a healthy role %d", missing, n, healthy)
		}
	}
}
