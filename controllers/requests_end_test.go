package controllers_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// forDays asks for some days.
func forDays(days int) func(*v1alpha1.PermissionApplySpec) {
	return func(s *v1alpha1.PermissionApplySpec) {
		s.Duration = &metav1.Duration{Duration: time.Duration(days) * 24 * time.Hour}
	}
}

// submitted makes a request and the passes until it waits.
func (h *harness) submitted(name string, change ...func(*v1alpha1.PermissionApplySpec)) *v1alpha1.PermissionApply {
	h.t.Helper()
	apply := newRequest(name, change...)
	h.create(apply)
	h.awaitSubmitted(apply)
	return apply
}

// orderOf is the order of a request that has one.
func (h *harness) orderOf(apply *v1alpha1.PermissionApply) string {
	h.t.Helper()
	orders := stored(h, apply).Status.Orders
	if len(orders) != 1 {
		h.t.Fatalf("%d orders, want 1", len(orders))
	}
	return orders[0].ID
}

// granted makes a request and has it approved.
func (h *harness) grantedRequest(name string, change ...func(*v1alpha1.PermissionApplySpec)) *v1alpha1.PermissionApply {
	h.t.Helper()
	apply := h.submitted(name, change...)
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	mustBe(h.t, h.lookNow(apply), metav1.ConditionTrue, v1alpha1.ReasonGranted)
	return apply
}

// revocations are the calls and statements that have revoked something.
func (h *harness) revocations() []string {
	var out []string
	for _, e := range h.cloud.Writes() {
		if strings.HasPrefix(e.Action, "Revoke") || strings.HasPrefix(e.Statement, "REVOKE") {
			out = append(out, cmp.Or(e.Statement, e.Action))
		}
	}
	return out
}

// TestTheServiceEndsWhatItCan: at the deadline the object is Expired, and the operator has nothing to do.
func TestTheServiceEndsWhatItCan(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.grantedRequest("report", forDays(30))
			_, again := h.step(apply)
			if again > 24*time.Hour || again <= 0 {
				t.Errorf("wants to be looked at after %s", again)
			}
			h.advance(30 * 24 * time.Hour)
			found, again := h.step(apply)
			if got := decided(found); got != "Expired False/Expired" || again != 0 {
				t.Errorf("got %s, again after %s", got, again)
			}
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("still granted: %v", left)
			}
			if calls := h.revocations(); len(calls) > 0 {
				t.Errorf("revoked what had ended: %q", calls)
			}
			h.must(h.kube.Delete(t.Context(), found))
			h.await(apply, gone)
			if calls := h.revocations(); len(calls) > 0 {
				t.Errorf("revoked what had ended: %q", calls)
			}
		})
	}
}

// TestTheOperatorEndsWhatTheServiceCannot: where permissions can only be granted for ever, they are asked for so, and revoked at the deadline
// by the call and, for what it does not cover, by statement; also if the operator was down then.
func TestTheOperatorEndsWhatTheServiceCannot(t *testing.T) {
	for name, down := range map[string]time.Duration{"running": 0, "down for a week": 7 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, old)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
			apply := h.grantedRequest("report", forDays(30), func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} })
			found := stored(h, apply)
			if !found.Status.RevokeAtDeadline || !found.Status.GrantedUntil.Equal(found.Status.RequestedUntil) {
				t.Errorf("status %+v", found.Status)
			}
			if until := h.cloud.TablePermissions(project, "orders", alice)[0].Until; until.Year() != 2065 {
				t.Errorf("granted until %s", until)
			}
			h.advance(found.Status.RequestedUntil.Sub(h.clock.Now()) - time.Minute)
			h.step(apply)
			if len(h.revocations()) > 0 {
				t.Error("revoked before the deadline")
			}
			h.restart()
			h.advance(2*time.Minute + down)
			if !metrics.IsOverdue(stored(h, apply), h.clock.Now()) && down > 0 {
				t.Error("not overdue")
			}
			if _, err := h.pass(apply); err != nil {
				t.Error(err)
			}
			found = stored(h, apply)
			if got := decided(found); got != "Expired False/Expired" || metrics.IsOverdue(found, h.clock.Now()) {
				t.Errorf("after one pass: %s", got)
			}
			for _, user := range []string{alice, bob} {
				if left := h.permissions(user); len(left) > 0 {
					t.Errorf("still granted to %s: %v", user, left)
				}
			}
			want := []string{
				"RevokeTablePermission", "REVOKE Update ON TABLE orders FROM USER RAM$corp:alice;",
				"RevokeTablePermission", "REVOKE Update ON TABLE orders FROM USER RAM$corp:bob;",
			}
			if diff := gocmp.Diff(sorted(want), sorted(h.revocations())); diff != "" {
				t.Errorf("revocations (-want +got):\n%s", diff)
			}
			calls := h.calls.Load()
			h.quiet(apply)
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			h.await(apply, gone)
			if n := h.calls.Load() - calls; n != 0 {
				t.Errorf("%d calls about a request that is over", n)
			}
		})
	}
}

// TestClocksThatDiffer: two minutes either way change nothing but the moment of the end.
func TestClocksThatDiffer(t *testing.T) {
	for name, skew := range map[string]time.Duration{"the operator is ahead": 2 * time.Minute, "the operator is behind": -2 * time.Minute} {
		for _, version := range generations {
			for _, forEver := range []bool{false, version == old} {
				t.Run(name+" "+version, func(t *testing.T) {
					h := requestWorld(t, version)
					h.clock.ahead.Add(int64(skew))
					h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: forEver, ListLag: time.Minute})
					// The answer is lost, so that the order has to be found by its time.
					h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
					apply := h.grantedRequest("report", forDays(2))
					h.order()
					// A duration begins with the first attempt, which was a while ago.
					h.advance(stored(h, apply).Status.RequestedUntil.Sub(h.clock.Now()) - 5*time.Minute)
					if found, _ := h.step(apply); decided(found) != "Granted True/Granted" {
						t.Errorf("before the end: %s", decided(found))
					}
					h.advance(10 * time.Minute)
					if found, _ := h.step(apply); decided(found) != "Expired False/Expired" {
						t.Errorf("after the end: %s", decided(found))
					}
					if left := h.permissions(alice); len(left) > 0 {
						t.Errorf("still granted: %v", left)
					}
				})
			}
		}
	}
}

// TestADeadlineBeforeTheDecision: what nobody has decided about is over with its deadline; it is withdrawn where the API can.
func TestADeadlineBeforeTheDecision(t *testing.T) {
	for version, want := range map[string]fakecloud.OrderState{old: fakecloud.OrderPending, newer: fakecloud.OrderWithdrawn} {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.submitted("report", forDays(2))
			h.advance(48 * time.Hour)
			found, again := h.step(apply)
			if got := decided(found); got != "Expired False/Expired" {
				t.Errorf("got %s", got)
			}
			if got := h.order().State; got != want {
				t.Errorf("the order is %s, want %s", got, want)
			}
			if version == newer {
				return
			}
			// Somebody may still approve it, for ever.
			if again == 0 || again > 5*time.Hour {
				t.Errorf("an order that can still be approved is looked at after %s", again)
			}
			h.must(h.cloud.ApproveOrder(h.order().ID, fakecloud.Approval{Until: time.Date(2065, 1, 1, 0, 0, 0, 0, time.UTC)}))
			if got := decided(h.lookNow(apply)); got != "Expired False/Expired" {
				t.Errorf("approved too late: %s", got)
			}
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("still granted: %v", left)
			}
		})
	}
}

// TestAWithdrawalWhoseAnswerWasLost: what the deadline takes back is Expired, also if the answer was lost and a new process is the first to
// see it. Withdrawn would say that somebody took it back.
func TestAWithdrawalWhoseAnswerWasLost(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1, forDays(2))
	h.advance(2 * days)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Action: "StopProcessInstance", Times: 1})
	h.passAnyway(apply)
	h.restart() // a new process looks at all orders
	h.waitOut(apply, 6*time.Hour)
	if got := decided(stored(h, apply)); got != "Expired False/Expired" {
		t.Errorf("got %s", got)
	}
}

// TestADeadlineBeforeTheSubmission: nothing is submitted any more.
func TestADeadlineBeforeTheSubmission(t *testing.T) {
	h := requestWorld(t, newer)
	apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) { s.Deadline = new(metav1.NewTime(time.Now().Add(-time.Hour))) })
	h.create(apply)
	found, _ := h.step(apply)
	if got := decided(found); got != "Expired False/Expired" || len(h.cloud.Writes()) > 0 {
		t.Errorf("got %s; %d writes", got, len(h.cloud.Writes()))
	}
	h.must(h.kube.Delete(t.Context(), found))
	h.await(apply, gone)
}

// TestARefusedPartDelaysNoEnd: a part of a request that is refused is tried again ever more rarely. The end of what was granted comes first
// where it is earlier, and is not noticed late.
func TestARefusedPartDelaysNoEnd(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	apply := newRequest("report", forDays(2), twoWideTables(h))
	h.cloud.Inject(fakecloud.Fault{
		Kind: fakecloud.FaultError, Service: "dataworks", Action: "CreatePermissionApplyOrder", After: 2, Status: 400, Code: "InvalidParameter", Message: "refused",
	})
	h.create(apply)
	h.passAnyway(apply)
	h.must(h.cloud.ApproveOrder(h.order().ID, fakecloud.Approval{}))
	found := h.lookNow(apply)
	if !found.Status.RevokeAtDeadline || len(found.Status.Orders[0].Granted) == 0 {
		t.Fatal(describe(found))
	}
	h.advance(found.Status.RequestedUntil.Sub(h.clock.Now()) - 20*time.Second)
	if result, err := h.pass(apply); err != nil || result.RequeueAfter > time.Minute {
		t.Errorf("20 seconds before the end: again after %s, or the backoff of: %v", result.RequeueAfter, err)
	}
}

// TestDeletingAPendingRequest: it is withdrawn where the API can, and otherwise the object stays until somebody has decided.
func TestDeletingAPendingRequest(t *testing.T) {
	t.Run("withdrawn", func(t *testing.T) {
		h := requestWorld(t, newer)
		apply := h.submitted("report")
		h.must(h.kube.Delete(t.Context(), stored(h, apply)))
		h.await(apply, gone)
		if got := h.order().State; got != fakecloud.OrderWithdrawn {
			t.Errorf("the order is %s", got)
		}
	})
	t.Run("approved meanwhile", func(t *testing.T) {
		h := requestWorld(t, newer)
		apply := h.submitted("report")
		h.must(h.cloud.ApproveOrder(h.order().ID, fakecloud.Approval{}))
		h.must(h.kube.Delete(t.Context(), stored(h, apply)))
		h.await(apply, gone)
		if left := h.permissions(alice); len(left) > 0 {
			t.Errorf("still granted: %v", left)
		}
	})
	t.Run("not withdrawable", func(t *testing.T) {
		h := requestWorld(t, old)
		apply := h.submitted("report")
		h.drainEvents()
		h.must(h.kube.Delete(t.Context(), stored(h, apply)))
		found, again := h.step(apply)
		mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval)
		if message := conditions.ReadyCondition(found).Message; !strings.Contains(message, "Retain") {
			t.Errorf("the message names no way out: %s", message)
		}
		if events := h.drainEvents(); !slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "Warning AwaitingApproval") }) {
			t.Errorf("no warning: %q", events)
		}
		if again > 5*time.Minute {
			t.Errorf("looks again after %s", again)
		}
		h.quiet(apply)
		h.must(h.cloud.ApproveOrder(h.order().ID, fakecloud.Approval{}))
		h.await(apply, gone)
		if left := h.permissions(alice); len(left) > 0 {
			t.Errorf("still granted: %v", left)
		}
	})
	t.Run("retained", func(t *testing.T) {
		h := requestWorld(t, old)
		apply := h.submitted("report", func(s *v1alpha1.PermissionApplySpec) { s.DeletionPolicy = v1alpha1.RevocationRetain })
		calls := h.calls.Load()
		h.must(h.kube.Delete(t.Context(), stored(h, apply)))
		if _, err := h.pass(apply); err != nil || stored(h, apply) != nil {
			t.Errorf("still there: %v", err)
		}
		if n := h.calls.Load() - calls; n != 0 || h.order().State != fakecloud.OrderPending {
			t.Errorf("%d calls, the order is %s", n, h.order().State)
		}
	})
}

// drainEvents returns the events since it was last called.
func (h *harness) drainEvents() []string {
	var out []string
	for {
		select {
		case e := <-h.events.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

// TestDeletingWhileTheOutcomeIsUnknown: an order that came of a lost call is found and taken back; if there is none, the object goes.
func TestDeletingWhileTheOutcomeIsUnknown(t *testing.T) {
	for _, version := range generations {
		for name, kind := range map[string]string{"there is one": fakecloud.FaultDropAfter, "there is none": fakecloud.FaultDropBefore} {
			t.Run(version+" "+name, func(t *testing.T) {
				h := requestWorld(t, version)
				h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 5 * time.Minute})
				h.cloud.Inject(fakecloud.Fault{Kind: kind, Service: "dataworks", Only: "writes", Times: 1})
				apply := newRequest("report")
				h.create(apply)
				if _, err := h.pass(apply); err != nil {
					t.Error(err)
				}
				h.must(h.kube.Delete(t.Context(), stored(h, apply)))
				if kind == fakecloud.FaultDropAfter && version == old {
					h.must(h.cloud.RejectOrder(h.order().ID, "no"))
				}
				h.await(apply, gone)
				for _, o := range h.cloud.Orders() {
					if o.State == fakecloud.OrderPending {
						t.Errorf("order %s still waits", o.ID)
					}
				}
				if n := len(h.cloud.Orders()); kind == fakecloud.FaultDropBefore && n != 0 {
					t.Errorf("%d orders were made for an object that is being deleted", n)
				}
			})
		}
	}
}

// TestAnOrderThatWasRepaired: what could not be granted may be repaired in DataWorks. Such an order is read once more at the deadline and
// before the object goes, so that what it grants is revoked.
func TestAnOrderThatWasRepaired(t *testing.T) {
	world := func(t *testing.T, version string, style fakecloud.OrderStyle, change ...func(*v1alpha1.PermissionApplySpec)) (*harness, *v1alpha1.PermissionApply) {
		h := requestWorld(t, version)
		h.cloud.SetOrderStyle(style)
		apply := h.submitted("report", append(change, select1)...)
		h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
		h.rewrite = func(body string) string {
			return strings.NewReplacer("AuthorizeSucceed", "AuthorizeFailed", `"FlowStatus":2`, `"FlowStatus":3`).Replace(body)
		}
		mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonGrantFailed)
		h.rewrite = nil
		h.drainEvents()
		return h, apply
	}
	for _, version := range generations {
		t.Run("deleted "+version, func(t *testing.T) {
			h, apply := world(t, version, fakecloud.OrderStyle{})
			h.remove(apply)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("the object is gone, and %v is granted; events %q", left, h.drainEvents())
			}
		})
	}
	t.Run("over", func(t *testing.T) {
		h, apply := world(t, old, fakecloud.OrderStyle{LabelSecurityOff: true}, forDays(2))
		h.waitOut(apply, 3*days)
		if left := h.permissions(alice); len(left) > 0 {
			t.Errorf("%s, and a day after its deadline %v is granted for ever", decided(stored(h, apply)), left)
		}
	})
}

// TestWhatCannotBeRevoked keeps the object, which says why and what can be done.
func TestWhatCannotBeRevoked(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.grantedRequest("report")
	h.must(h.cloud.KillUser("RAM$corp:alice"))
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	for range 5 {
		h.tryPass(apply)
	}
	found := stored(h, apply)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := conditions.ReadyCondition(found).Message; !strings.Contains(message, "Retain") || !strings.Contains(message, alice) {
		t.Errorf("message %q", message)
	}
}

// TestSuspendedRequests make no call, and go without one.
func TestSuspendedRequests(t *testing.T) {
	h := requestWorld(t, newer)
	born := newRequest("born", func(s *v1alpha1.PermissionApplySpec) { s.Suspend = true })
	h.create(born)
	found, _ := h.step(born)
	mustBe(t, found, metav1.ConditionUnknown, v1alpha1.ReasonSuspended)
	later := h.grantedRequest("later", forDays(1))
	edited(h, later, func(p *v1alpha1.PermissionApply) { p.Spec.Suspend = true })
	calls := h.calls.Load()
	h.advance(48 * time.Hour)
	found, _ = h.step(later)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonGranted)
	for _, apply := range []*v1alpha1.PermissionApply{born, later} {
		h.drainEvents()
		h.must(h.kube.Delete(t.Context(), stored(h, apply)))
		if _, err := h.pass(apply); err != nil || stored(h, apply) != nil {
			t.Errorf("still there: %v", err)
		}
		if apply == later && !slices.Contains(h.drainEvents(), "Warning Released suspended: the cloud was left as it is") {
			t.Error("no warning")
		}
	}
	if n := h.calls.Load() - calls; n != 0 {
		t.Errorf("%d calls", n)
	}
}
