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

// TestWhatTwoRequestsGrant stays as long as one of them does.
func TestWhatTwoRequestsGrant(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			one := h.grantedRequest("one")
			two := h.grantedRequest("two", func(s *v1alpha1.PermissionApplySpec) {
				s.Objects[0].Name, s.Objects[0].Actions = "ORDERS", []v1alpha1.TableAction{"Select"}
			})
			h.must(h.kube.Delete(t.Context(), stored(h, one)))
			h.awaitGone(one)
			if diff := gocmp.Diff([]string{"select"}, h.permissions(alice)); diff != "" {
				t.Errorf("after the first is gone (-want +got):\n%s", diff)
			}
			h.must(h.kube.Delete(t.Context(), stored(h, two)))
			h.awaitGone(two)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("after both are gone: %v", left)
			}
		})
	}
}

// TestWhatOutlastsTheOtherRequest: a request that goes early leaves to another what that grants, too, but for no longer than that one lasts.
func TestWhatOutlastsTheOtherRequest(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			long, short := h.grantedRequest("long", forDays(90)), h.grantedRequest("short", forDays(30))
			h.must(h.kube.Delete(t.Context(), stored(h, long)))
			h.awaitGone(long)
			if diff := gocmp.Diff([]string{"select", "update"}, h.permissions(alice)); diff != "" {
				t.Errorf("what the other request grants (-want +got):\n%s", diff)
			}
			h.advance(30*24*time.Hour + time.Minute)
			if found, _ := h.step(short); decided(found) != "Expired False/Expired" {
				t.Errorf("got %s", decided(found))
			}
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("still granted though both requests are over: %v", left)
			}
		})
	}
}

// awaitGone makes passes until an object is not there any more.
func (h *harness) awaitGone(apply *v1alpha1.PermissionApply) {
	h.t.Helper()
	for range 60 {
		if stored(h, apply) == nil {
			return
		}
		h.tryPass(apply)
	}
	h.t.Fatalf("still there: %s", describe(stored(h, apply)))
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
