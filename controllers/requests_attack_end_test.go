package controllers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// use has the connection speak another version of the API.
func (h *harness) use(version string) {
	h.t.Helper()
	h.reconnect("prod", func(c *v1alpha1.AlibabaCloudConnection) { c.DataWorksAPIVersion = version })
}

// reconnect changes a connection.
func (h *harness) reconnect(name string, change func(*v1alpha1.AlibabaCloudConnection)) {
	h.t.Helper()
	connection := &v1alpha1.Connection{}
	h.must(h.kube.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: name}, connection))
	change(connection.Spec.AlibabaCloud)
	connection.Generation++
	h.must(h.kube.Update(context.Background(), connection))
}

// select1 asks for nothing but Select on the table.
func select1(s *v1alpha1.PermissionApplySpec) {
	s.Objects[0].Actions = []v1alpha1.TableAction{"Select"}
}

// TestAShorterRequestMustNotKeepALongerGrant: deletion and expiry leak (promises 3 and 4). What one request granted for ever is left alone when
// its object goes, because another request grants the same for 30 days. After those 30 days nobody is responsible for the permission that
// never ends. Expected: it ends with the last request that wants it, at the latest when that one ends.
func TestAShorterRequestMustNotKeepALongerGrant(t *testing.T) {
	for _, version := range generations {
		t.Run("deleted "+version, func(t *testing.T) {
			h := requestWorld(t, version)
			one, two := h.grantedRequest("one", select1), h.grantedRequest("two", select1, forDays(30))
			h.must(h.kube.Delete(t.Context(), stored(h, one)))
			h.awaitGone(one)
			h.advance(31 * 24 * time.Hour)
			found, _ := h.step(two)
			if got := decided(found); got != "Expired False/Expired" {
				t.Errorf("got %s", got)
			}
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("one is gone, two is over, and %v is still granted until %s", left, h.cloud.TablePermissions(project, "orders", alice)[0].Until)
			}
			h.must(h.kube.Delete(t.Context(), found))
			h.awaitGone(two)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("all objects are gone, and %v is still granted", left)
			}
		})
	}
	t.Run("revoked at the deadline", func(t *testing.T) {
		h := requestWorld(t, old)
		h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
		one := h.grantedRequest("one", select1, forDays(10)) // for ever, so the operator has to end it
		h.use(newer)
		two := h.grantedRequest("two", select1, forDays(30)) // the service ends it
		h.advance(11 * 24 * time.Hour)
		h.step(one)
		h.step(two)
		h.advance(20 * 24 * time.Hour)
		h.step(one)
		h.step(two)
		if left := h.permissions(alice); len(left) > 0 {
			t.Errorf("%s and %s, and %v is still granted until %s", decided(stored(h, one)), decided(stored(h, two)), left, h.cloud.TablePermissions(project, "orders", alice)[0].Until)
		}
	})
}

// TestAColumnMustNotKeepTheWholeTable: deletion leaks (promise 4). What was granted on all columns stays when its object goes, because another
// request grants the same action on one column. Expected: what remains is not more than the remaining requests grant; if the service
// cannot take back single columns, at least the object says so and does not go as if everything were revoked.
func TestAColumnMustNotKeepTheWholeTable(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			narrow := h.grantedRequest("narrow", select1, func(s *v1alpha1.PermissionApplySpec) { s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "id"}} })
			wide := h.grantedRequest("wide", select1)
			h.must(h.kube.Delete(t.Context(), stored(h, wide)))
			h.step(wide)
			if gone := stored(h, wide); gone == nil && cmp.Equal(h.permissions(alice), []string{"select"}) {
				t.Errorf("the object is gone, %s asks for one column, and all columns can be read: %v; events %q", narrow.Name, h.permissions(alice), h.drainEvents())
			}
		})
	}
}

// TestADeadAccountMustNotKeepThePermissionsOfOthers: expiry and deletion leak (promises 3 and 4). The first account of a table that cannot be
// named any more keeps the operator from all accounts after it, for ever. Expected: each account is tried, and what fails is named.
func TestADeadAccountMustNotKeepThePermissionsOfOthers(t *testing.T) {
	both := func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} }
	passes := func(h *harness, apply *v1alpha1.PermissionApply) {
		for range 10 {
			_, _ = h.pass(apply)
			h.advance(backoff)
		}
	}
	t.Run("at the deadline", func(t *testing.T) {
		h := requestWorld(t, old)
		h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
		apply := h.grantedRequest("report", forDays(30), both)
		h.must(h.cloud.KillUser("RAM$corp:alice"))
		h.advance(31 * 24 * time.Hour)
		passes(h, apply)
		if left := h.permissions(bob); len(left) > 0 {
			t.Errorf("bob still has %v: %s", left, describe(stored(h, apply)))
		}
	})
	t.Run("with the object", func(t *testing.T) {
		h := requestWorld(t, newer)
		apply := h.grantedRequest("report", both)
		h.must(h.cloud.KillUser("RAM$corp:alice"))
		h.must(h.kube.Delete(t.Context(), stored(h, apply)))
		passes(h, apply)
		if left := h.permissions(bob); len(left) > 0 {
			t.Errorf("bob still has %v: %s", left, describe(stored(h, apply)))
		}
	})
	t.Run("one way denied", func(t *testing.T) {
		// The call for Select is refused: the statement for Update is not even tried.
		h := requestWorld(t, old)
		apply := h.grantedRequest("report")
		h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "RevokeTablePermission", "Forbidden.RAM"))
		h.must(h.kube.Delete(t.Context(), stored(h, apply)))
		passes(h, apply)
		if left := h.permissions(alice); cmp.Equal(left, []string{"select", "update"}) {
			t.Errorf("alice still has %v: %s", left, describe(stored(h, apply)))
		}
	})
}

// TestARefusedRepetitionMustNotForgetTheFirstCall: submission and deletion (promises 1 and 4). The answer to the first call was lost, lists lag, and
// the repeated call is refused, for its rate or for the budget. That says nothing about the first call, but the doubt is dropped: an
// object that is deleted now goes at once and leaves an order that can be approved. Expected: the doubt stays until the first call is
// resolved.
func TestARefusedRepetitionMustNotForgetTheFirstCall(t *testing.T) {
	for _, kind := range []string{fakecloud.FaultThrottle, fakecloud.FaultAccessDenied} {
		t.Run(kind, func(t *testing.T) {
			h := requestWorld(t, newer)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 5 * time.Minute})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			h.cloud.Inject(fakecloud.Fault{Kind: kind, Service: "dataworks", Action: "ApplyResourceAccessPermission", Times: 1})
			apply := newRequest("report")
			h.create(apply)
			_, _ = h.pass(apply)
			h.advance(16 * time.Second)
			_, _ = h.pass(apply)
			if s := stored(h, apply).Status.Submissions[0]; s.SendingTime == nil {
				t.Errorf("the first call may have made an order, and nothing is left to find out: %+v", s)
			}
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			h.awaitGone(apply)
			order := h.order()
			if order.State == fakecloud.OrderPending {
				h.must(h.cloud.ApproveOrder(order.ID, fakecloud.Approval{}))
				t.Errorf("the object is gone, and its order still waited; approved, it grants %v", h.permissions(alice))
			}
		})
	}
}

// TestAnOrderThatVanishesKeepsWhatItGranted: deletion leaks (promise 4). Somebody clears away a granted order (status Deleted of 2024-05-18, or
// Canceled), and somebody asks for a look: what was granted is struck from the status, so that nothing is revoked with the object or at
// the deadline. Expected: what was once seen as granted stays on record until it was revoked or has ended.
func TestAnOrderThatVanishesKeepsWhatItGranted(t *testing.T) {
	for version, words := range map[string][2]string{newer: {"AuthorizeSucceed", "Deleted"}, old: {`"FlowStatus":2`, `"FlowStatus":5`}} {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.grantedRequest("report")
			h.rewrite = func(body string) string { return strings.ReplaceAll(body, words[0], words[1]) }
			found := h.lookNow(apply)
			t.Log(describe(found))
			h.must(h.kube.Delete(t.Context(), found))
			h.awaitGone(apply)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("the object is gone, and %v is still granted", left)
			}
		})
	}
}

// TestWhatWasApprovedAMomentAgoMustNotBeRevoked (promises 2 and 4): another request for the same was approved since it was last looked at. Its
// permission is revoked with this one, and then the other is read as granted. Expected: requests that wait for their approvers and ask
// for the same are looked at before anything is revoked.
func TestWhatWasApprovedAMomentAgoMustNotBeRevoked(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			one, two := h.grantedRequest("one", select1), h.submitted("two", select1)
			h.must(h.cloud.ApproveOrder(h.orderOf(two), fakecloud.Approval{}))
			h.must(h.kube.Delete(t.Context(), stored(h, one)))
			h.awaitGone(one)
			found := h.lookNow(two)
			if left := h.permissions(alice); len(left) == 0 {
				t.Errorf("the other request is %s, and nothing is granted", decided(found))
			}
		})
	}
}

// TestOneServiceUnderTwoNames (promise 4): a slash at the end, capitals, or the service's other host names make two connections two services, so
// that deleting one object revokes what the other grants. Expected: endpoints are compared by what they mean, as design 2 says of
// targets; hosts that cannot be told apart are better taken for one service than for two.
func TestOneServiceUnderTwoNames(t *testing.T) {
	h := requestWorld(t, newer)
	alt := h.newConnection()
	alt.Name, alt.UID = "alt", "alt"
	alt.Spec.AlibabaCloud.DataWorksAPIVersion = newer
	alt.Spec.AlibabaCloud.Endpoints.DataWorks += "/"
	h.create(alt)
	one := h.grantedRequest("one", select1)
	h.grantedRequest("two", select1, func(s *v1alpha1.PermissionApplySpec) { s.ConnectionRef.Name = "alt" })
	h.must(h.kube.Delete(t.Context(), stored(h, one)))
	h.awaitGone(one)
	if left := h.permissions(alice); len(left) == 0 {
		t.Error("what the other request grants was revoked")
	}
}

// TestWhatTheServiceHasEndedEarlier (promises 2 and 3): the operator has to end what the service can grant only for ever, but the approver has
// shortened it. Once the service has ended it, the object goes on saying Granted until the deadline; and then, or with its deletion, the
// operator revokes what it did not grant. Expected: what has an end that the service knows ends then, and is not revoked after.
func TestWhatTheServiceHasEndedEarlier(t *testing.T) {
	world := func(t *testing.T) (*harness, *v1alpha1.PermissionApply) {
		h := requestWorld(t, old)
		h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
		apply := h.submitted("report", select1, forDays(30))
		h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{Until: h.clock.Now().Add(24 * time.Hour)}))
		h.lookNow(apply)
		h.advance(48 * time.Hour)
		h.step(apply)
		if left := h.permissions(alice); len(left) > 0 {
			t.Fatalf("still granted: %v", left)
		}
		return h, apply
	}
	t.Run("state", func(t *testing.T) {
		h, apply := world(t)
		if got := decided(stored(h, apply)); got != "Expired False/Expired" {
			t.Errorf("nothing is granted, and the object says %s", got)
		}
	})
	for name, end := range map[string]func(*harness, *v1alpha1.PermissionApply){
		"the deadline": func(h *harness, apply *v1alpha1.PermissionApply) { h.advance(29 * 24 * time.Hour); h.step(apply) },
		"the deletion": func(h *harness, apply *v1alpha1.PermissionApply) {
			h.must(h.kube.Delete(h.t.Context(), stored(h, apply)))
			h.awaitGone(apply)
		},
	} {
		t.Run("revoked by "+name, func(t *testing.T) {
			h, apply := world(t)
			end(h, apply)
			if calls := h.revocations(); len(calls) > 0 {
				t.Errorf("revoked what the service had ended: %q", calls)
			}
		})
	}
}

// TestAColumnNamedLikeAnEnd (promise 3): a refusal that names a column expires_at, or a table deadlines, is read as "only for ever", and that is
// remembered when the second call is refused for the same reason. Once the column is there, the approver is asked for permissions for ever
// where the service could have ended them. Expected: it is only remembered once a request without an end was accepted.
func TestAColumnNamedLikeAnEnd(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := newRequest("report", select1, forDays(30), func(s *v1alpha1.PermissionApplySpec) {
				s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "id"}, {Name: "expires_at"}}
			})
			h.create(apply)
			_, _ = h.pass(apply)
			mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonRemoteRejected)
			h.must(h.cloud.DeclareTable(project, "", "orders",
				fakecloud.Column{Name: "id", Type: "BIGINT"}, fakecloud.Column{Name: "amount", Type: "DECIMAL"}, fakecloud.Column{Name: "expires_at", Type: "STRING"}))
			h.awaitSubmitted(apply)
			if until := h.order().Objects[0].Until; until.After(h.clock.Now().Add(31 * 24 * time.Hour)) {
				t.Errorf("asked for until %s instead of for 30 days; revokeAtDeadline %v", until, stored(h, apply).Status.RevokeAtDeadline)
			}
		})
	}
}

// TestADeletionThatCannotGoOnNamesAWayOut (promise 4): not only a pending order of the older API keeps an object.
func TestADeletionThatCannotGoOnNamesAWayOut(t *testing.T) {
	tests := map[string]struct {
		version string
		do      func(h *harness)
		granted bool
	}{
		"revoking is denied": {newer, func(h *harness) {
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Service: "odps"})
		}, true},
		"withdrawing is denied": {newer, func(h *harness) {
			h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "StopProcessInstance", "Forbidden.RAM"))
		}, false},
		"reading is denied": {old, func(h *harness) {
			h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "GetPermissionApplyOrderDetail", "Forbidden.RAM"))
		}, false},
		"the order is not there any more": {newer, func(h *harness) {
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Service: "dataworks", Status: 404, Code: "InvalidParameter.NotFound", Message: "The order does not exist."})
		}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, tc.version)
			apply := h.submitted("report", select1)
			if tc.granted {
				h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
				h.lookNow(apply)
			}
			tc.do(h)
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			for range 5 {
				_, _ = h.pass(apply)
				h.advance(5 * time.Minute)
			}
			found := stored(h, apply)
			if found == nil {
				t.Fatal("gone")
			}
			if message := conditions.ReadyCondition(found).Message; !strings.Contains(message, "Retain") {
				t.Errorf("the message names no way out: %s", message)
			}
		})
	}
}

// TestMuchThatCannotBeRevoked (promises 3, 4 and 5): when more revocations fail than one pass makes, every pass begins with the same ones, one
// second after the other and without a backoff: whatever comes after them is never revoked, the object says that it is progressing, and
// the service gets a hundred refused calls a second. Expected: backoff, the cause in the condition, and a turn for everything.
func TestMuchThatCannotBeRevoked(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", func(s *v1alpha1.PermissionApplySpec) {
		s.ApplyUserIDs, s.Objects = []string{alice}, nil
		for i := range 150 {
			name := fmt.Sprintf("table_%03d", i)
			h.must(h.cloud.DeclareTable(project, "", name, fakecloud.Column{Name: "id", Type: "BIGINT"}))
			s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: name, Actions: []v1alpha1.TableAction{"Select"}})
		}
	})
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.lookNow(apply)
	for i := range 110 {
		h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Service: "odps", Statement: fmt.Sprintf("table_%03d ", i), Status: 400, Code: "ODPS-0130013", Message: "refused"})
	}
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	_, _ = h.pass(apply)
	calls, at := h.calls.Load(), h.clock.Now()
	for range 20 {
		result, err := h.pass(apply)
		wait := result.RequeueAfter
		if err != nil {
			wait = backoff
		}
		h.advance(max(wait, time.Second))
	}
	left := 0
	for i := 110; i < 150; i++ {
		left += len(h.permissionsOn(fmt.Sprintf("table_%03d", i), alice))
	}
	if left > 0 {
		t.Errorf("%d permissions that could be revoked are still there; %d calls in %s; %s", left, h.calls.Load()-calls, h.clock.Now().Sub(at), describe(stored(h, apply)))
	}
}

// TestAVerdictStays (promise 5): a request that was refused is said to have expired once its deadline passes, with a second Warning. Expected:
// Rejected and Withdrawn are final.
func TestAVerdictStays(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.submitted("report", forDays(10))
			h.must(h.cloud.RejectOrder(h.orderOf(apply), "no"))
			before := decided(h.lookNow(apply))
			h.drainEvents()
			h.advance(11 * 24 * time.Hour)
			found, _ := h.step(apply)
			if after := decided(found); after != before {
				t.Errorf("first %s, later %s; events %q", before, after, h.drainEvents())
			}
		})
	}
}
