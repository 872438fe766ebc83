package controllers_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestAVerdictStays: a request that was rejected does not expire as well when its deadline passes.
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

// TestNoVerdictBeforeTheLastOrder: a request is Pending as long as one of its orders waits, also if what another granted has ended. It can
// still be granted.
func TestNoVerdictBeforeTheLastOrder(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.must(h.cloud.SetApprovers(project, "customers", "182293110499999999"))
			apply := h.submitted("report", twoTables, forDays(30))
			h.must(h.cloud.ApproveOrder(h.cloud.Orders()[0].ID, fakecloud.Approval{Until: h.clock.Now().Add(24 * time.Hour)}))
			h.lookNow(apply)
			h.advance(48 * time.Hour)
			found, _ := h.step(apply)
			if got := decided(found); got != "Pending False/AwaitingApproval" {
				t.Errorf("got %s: %s", got, describe(found))
			}
		})
	}
}

// TestAUserWhoWasLeftOut: whoever was asked for and is not in the order has got nothing, and the request is narrowed.
func TestAUserWhoWasLeftOut(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1, func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} })
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.rewrite = contents(func(all []map[string]any) []map[string]any {
		return slices.DeleteFunc(all, func(c map[string]any) bool { return c["Grantee"].(map[string]any)["PrincipalId"] == bob })
	})
	mustBe(t, h.lookNow(apply), metav1.ConditionTrue, v1alpha1.ReasonGrantedNarrowed)
}

// TestAnObjectOfWhichNothingWasApproved: an approver may leave something of one table and nothing of another. Only the former is read as
// granted, and it is revoked with the object.
func TestAnObjectOfWhichNothingWasApproved(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.submitted("report", twoTables, func(s *v1alpha1.PermissionApplySpec) { s.Objects[0].Actions = []v1alpha1.TableAction{"Update"} })
			h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{Actions: []string{"Select"}}))
			found := h.lookNow(apply)
			if got := decided(found); got != "Granted True/GrantedNarrowed" {
				t.Errorf("got %s: %s", got, describe(found))
			}
			for _, o := range found.Status.Orders {
				for _, g := range o.Granted {
					if g.Name == "orders" {
						t.Errorf("read as granted: %+v, in effect %v", g, h.permissions(alice))
					}
				}
			}
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			h.waitOut(apply, 24*time.Hour)
			if left := h.permissionsOn("customers", alice); len(left) > 0 {
				t.Errorf("deleted a day ago, and %v is still granted: %s", left, describe(stored(h, apply)))
			}
		})
	}
}

// TestAnEndThatTheServiceDoesNotTell: without word of the service, the requested end counts.
func TestAnEndThatTheServiceDoesNotTell(t *testing.T) {
	h := requestWorld(t, old)
	apply := h.submitted("report", forDays(30))
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.rewrite = func(body string) string { return regexp.MustCompile(`"Deadline":\d+,`).ReplaceAllString(body, "") }
	h.lookNow(apply)
	h.advance(31 * 24 * time.Hour)
	found, again := h.step(apply)
	if got := decided(found); got != "Expired False/Expired" {
		t.Errorf("a day after the end: %s, again after %s; in effect: %v", got, again, h.permissions(alice))
	}
}

// TestAnEndBeyondTheCalendar: a service may spell "for ever" as a time with a year of nine digits, which the API server does not store. It
// is cut down to a year of four.
func TestAnEndBeyondTheCalendar(t *testing.T) {
	h := requestWorld(t, old)
	apply := h.submitted("report")
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.rewrite = func(body string) string {
		return regexp.MustCompile(`"Deadline":\d+`).ReplaceAllString(body, `"Deadline":9223372036854775807`)
	}
	h.annotate(apply, v1alpha1.RequestedAtAnnotation, "now")
	_, err := h.pass(apply)
	if found := stored(h, apply); err != nil || decided(found) != "Granted True/Granted" {
		t.Errorf("%s, %v", decided(found), err)
	} else if until := found.Status.GrantedUntil; until.Year() > 9999 {
		t.Errorf("granted until %s, which is no date-time of the schema", until)
	}
}

// TestAStaleReadTakesBackNoApproval: an order that was seen approved is not Pending again when an older copy of it is read.
func TestAStaleReadTakesBackNoApproval(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report")
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{Hold: true}))
	mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonApproved)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Service: "dataworks", StaleWrites: 1, Times: 1})
	mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonApproved)
}

// TestALookThatFailedIsRepeated: when a look fails that somebody has asked for, another one is made soon, and the request is not called
// Granted again without it.
func TestALookThatFailedIsRepeated(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.grantedRequest("report")
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Service: "dataworks", Times: 1})
			h.annotate(apply, v1alpha1.RequestedAtAnnotation, "once more")
			result, err := h.pass(apply)
			found := stored(h, apply)
			if conditions.IsReady(found) {
				return
			}
			if err == nil && (result.RequeueAfter == 0 || result.RequeueAfter > 10*time.Minute) {
				t.Errorf("the next pass is after %s, and the object says %s", result.RequeueAfter, describe(found))
			}
			calls := h.calls.Load()
			h.tryPass(apply)
			if n := h.calls.Load() - calls; n == 0 {
				t.Errorf("without another look it says %s", describe(stored(h, apply)))
			}
		})
	}
}

// TestAnOrderThatFailsHidesNoOther: an order that cannot be read costs its own turn only. What the others have granted is seen, and revoked
// when it has to be.
func TestAnOrderThatFailsHidesNoOther(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.PermissionApplySpec){"deleted": func(*v1alpha1.PermissionApplySpec) {}, "over": forDays(2)} {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, old)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
			h.must(h.cloud.SetApprovers(project, "customers", "182293110499999999"))
			apply := h.submitted("report", twoTables, change)
			first, second := h.cloud.Orders()[0].ID, h.cloud.Orders()[1].ID
			h.must(h.cloud.ApproveOrder(second, fakecloud.Approval{}))
			h.rewrite = func(body string) string {
				if strings.Contains(body, first) {
					return `{"RequestId":"1","Code":"InternalError","Message":"The request processing has failed."}`
				}
				return body
			}
			if name == "deleted" {
				h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			}
			h.waitOut(apply, 72*time.Hour)
			if left := h.permissionsOn("customers", alice); len(left) > 0 {
				t.Errorf("three days later, %v is still granted by the other order: %s", left, describe(stored(h, apply)))
			}
		})
	}
}
