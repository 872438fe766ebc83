package controllers_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestADeadAccountHoldsUpNoOther: an account that has no name any more keeps nothing from being revoked from the others, and a way to
// revoke that is denied does not keep the operator from the other way.
func TestADeadAccountHoldsUpNoOther(t *testing.T) {
	both := func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} }
	passes := func(h *harness, apply *v1alpha1.PermissionApply) {
		for range 10 {
			h.tryPass(apply)
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
		// The call for Select is denied, and statements are not.
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

// TestATableThatFailsHoldsUpNoOther: what was granted on other tables is revoked, however long the service fails for one.
func TestATableThatFailsHoldsUpNoOther(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.grantedRequest("report", twoTables, select1)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Service: "odps", Statement: "TABLE orders"})
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	h.waitOut(apply, 24*time.Hour)
	if left := h.permissionsOn("customers", alice); len(left) > 0 {
		t.Errorf("a day later, %v on the other table is still granted: %s", left, describe(stored(h, apply)))
	}
}

// TestMuchThatCannotBeRevoked: more may be refused than one pass tries, and still everything gets its turn: not every pass begins with the
// same.
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
	h.tryPass(apply)
	calls, at := h.calls.Load(), h.clock.Now()
	for range 20 {
		h.tryPass(apply)
	}
	left := 0
	for i := 110; i < 150; i++ {
		left += len(h.permissionsOn(fmt.Sprintf("table_%03d", i), alice))
	}
	if left > 0 {
		t.Errorf("%d permissions that could be revoked are still there; %d calls in %s; %s", left, h.calls.Load()-calls, h.clock.Now().Sub(at), describe(stored(h, apply)))
	}
}

// TestWhatCannotBeRevokedIsSaidInOneOrder: what cannot be revoked is named in the same order in each pass, wherever that began. Otherwise
// each would write another message and make an event.
func TestWhatCannotBeRevokedIsSaidInOneOrder(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", func(s *v1alpha1.PermissionApplySpec) {
		s.Objects = nil
		for i := range 8 {
			name := fmt.Sprintf("table_%d", i)
			h.must(h.cloud.DeclareTable(project, "", name, fakecloud.Column{Name: "id", Type: "BIGINT"}))
			s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: name, Actions: []v1alpha1.TableAction{"Select"}})
		}
	})
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.lookNow(apply)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Service: "odps", Statement: "REVOKE", Status: 400, Code: "ODPS-0130013", Message: "refused"})
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	messages := map[string]bool{}
	h.drainEvents()
	for range 10 {
		h.passAnyway(apply)
		messages[conditions.ReadyCondition(stored(h, apply)).Message] = true
		h.advance(5 * time.Minute)
	}
	if n := len(messages); n > 1 {
		t.Errorf("%d messages in 10 passes, %d events", n, len(h.drainEvents()))
	}
}

// TestWhatAVanishedOrderGrantedIsRevoked: what was once seen as granted stays on record until it was revoked or has ended, also if somebody
// clears the order away.
func TestWhatAVanishedOrderGrantedIsRevoked(t *testing.T) {
	for version, words := range map[string][2]string{newer: {"AuthorizeSucceed", "Deleted"}, old: {`"FlowStatus":2`, `"FlowStatus":5`}} {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.grantedRequest("report")
			h.rewrite = func(body string) string { return strings.ReplaceAll(body, words[0], words[1]) }
			found := h.lookNow(apply)
			h.must(h.kube.Delete(t.Context(), found))
			h.awaitGone(apply)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("the object is gone, and %v is still granted", left)
			}
		})
	}
}

// TestWhatTheServiceHasEndedEarlier: an approver may shorten what was asked for without an end. It is over when the service ends it, and
// nothing is revoked afterwards: that might be somebody else's.
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

// TestTheEarliestEndIsNotTheLast: where the columns of a table end before the table does, what has not ended is revoked with the object.
func TestTheEarliestEndIsNotTheLast(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", forDays(30), func(s *v1alpha1.PermissionApplySpec) { s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "id"}} })
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	early := h.clock.Now().Add(10 * 24 * time.Hour).UnixMilli()
	h.rewrite = contents(func(all []map[string]any) []map[string]any {
		for _, c := range all {
			if strings.Contains(c["Resource"].(map[string]any)["MetaData"].(string), `"column"`) {
				c["ExpirationTime"] = early
			}
		}
		return all
	})
	h.lookNow(apply)
	h.advance(15 * 24 * time.Hour)
	h.step(apply)
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	h.awaitGone(apply)
	if left := h.permissions(alice); slices.Contains(left, "update") {
		t.Errorf("the object is gone, and Update, which ends in two weeks, is still granted: %v", left)
	}
}

// TestApprovedForEverAfterTheDeadline: an order of the older API that still waits after the deadline can be approved for ever at any
// moment. That is noticed within the hour, or the metric says that it is overdue.
func TestApprovedForEverAfterTheDeadline(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	apply := h.submitted("report", select1, forDays(2))
	h.advance(49 * time.Hour)
	h.step(apply)
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	since, overdue := h.clock.Now(), false
	for len(h.permissions(alice)) > 0 {
		overdue = overdue || metrics.IsOverdue(stored(h, apply), h.clock.Now())
		result, err := h.pass(apply)
		h.must(err)
		if len(h.permissions(alice)) == 0 {
			break
		}
		overdue = overdue || metrics.IsOverdue(stored(h, apply), h.clock.Now().Add(result.RequeueAfter-time.Second))
		h.advance(result.RequeueAfter)
	}
	if held := h.clock.Now().Sub(since); held > time.Hour && !overdue {
		t.Errorf("held for %s after the deadline, and the metric said nothing", held)
	}
}

// TestWhatIsOverNeedsNoConnection: of a request that was rejected nothing is left to be done, so its object goes without credentials.
func TestWhatIsOverNeedsNoConnection(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report")
	h.must(h.cloud.RejectOrder(h.orderOf(apply), "no"))
	mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonRejected)
	h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "alibaba"}}))
	h.restart()
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	for range 3 {
		h.tryPass(apply)
	}
	if found := stored(h, apply); found != nil {
		t.Errorf("still there: %s", describe(found))
	}
}

// TestARevocationIsToldOnce: the event is made once the revocation is on record, so that conflicts do not repeat it.
func TestARevocationIsToldOnce(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	apply := h.grantedRequest("report", select1, forDays(30))
	h.advance(31 * 24 * time.Hour)
	h.drainEvents()
	failures := 3
	h.beforeWrite = func(int) error {
		if failures--; failures >= 0 {
			return apierrors.NewConflict(schema.GroupResource{Resource: "permissionapplies"}, "report", errors.New("changed"))
		}
		return nil
	}
	h.waitOut(apply, time.Hour)
	told := slices.DeleteFunc(h.drainEvents(), func(e string) bool { return !strings.HasPrefix(e, "Normal Revoked") })
	if len(told) != 1 {
		t.Errorf("told %d times, with %d revocations", len(told), len(h.revocations()))
	}
}

// TestARevocationWithTheObjectIsToldOnce: what was revoked with the object is told when the finalizer is off, so that failures to write do
// not repeat it.
func TestARevocationWithTheObjectIsToldOnce(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.grantedRequest("report", select1)
	h.drainEvents()
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	failures := 3
	h.beforeWrite = func(int) error {
		if failures--; failures >= 0 {
			return errors.New("the API server is away")
		}
		return nil
	}
	h.awaitGone(apply)
	told := slices.DeleteFunc(h.drainEvents(), func(e string) bool { return !strings.HasPrefix(e, "Normal Revoked") })
	if len(told) != 1 {
		t.Errorf("told %d times, with %d revocations", len(told), len(h.revocations()))
	}
}
