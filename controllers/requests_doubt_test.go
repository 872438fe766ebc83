package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestASearchIsAsOldAsItsBeginning: what a search finds is as old as its beginning, however long its pages take. Otherwise a call would
// count as lost whose order the first page could not show yet, and be made again.
func TestASearchIsAsOldAsItsBeginning(t *testing.T) {
	h := requestWorld(t, old)
	// A hundred older orders, so that the list has two pages.
	many := newRequest("many", func(s *v1alpha1.PermissionApplySpec) {
		s.Objects = nil
		for i := range 110 {
			name := fmt.Sprintf("table_%03d", i)
			h.must(h.cloud.DeclareTable(project, "", name, fakecloud.Column{Name: "id", Type: "BIGINT"}))
			h.must(h.cloud.SetApprovers(project, name, fmt.Sprint(182293110500000000+i)))
			s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: name, Actions: []v1alpha1.TableAction{"Select"}})
		}
	})
	h.create(many)
	h.awaitSubmitted(many)
	before := len(h.cloud.Orders())
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 8 * time.Minute})
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	apply := newRequest("report", twoTables)
	h.create(apply)
	h.passAnyway(apply)
	if n := len(h.cloud.Orders()) - before; n != 1 {
		t.Fatalf("%d orders", n)
	}
	// The search after a bit more than seven minutes: before its second page, the limiter pauses for three, as Retry-After may have it do.
	h.advance(7*time.Minute + 30*time.Second)
	first := h.calls.Load() + 1
	h.crash = func(call int64, before bool) {
		if call == first && !before {
			h.advance(3 * time.Minute)
		}
	}
	h.passAnyway(apply)
	h.crash = nil
	h.waitOut(apply, 30*time.Minute)
	if n := len(h.cloud.Orders()) - before; n != 1 {
		t.Errorf("%d orders were made of one request; the object knows %d", n, len(stored(h, apply).Status.Orders))
	}
}

// TestARefusalLeavesAnEarlierCallInDoubt: the answer to the first call was lost, and that the repeated one is refused says nothing about
// it. An object that is deleted now goes only when the order that may be there is resolved, so that nobody approves it later.
func TestARefusalLeavesAnEarlierCallInDoubt(t *testing.T) {
	for _, kind := range []string{fakecloud.FaultThrottle, fakecloud.FaultAccessDenied} {
		t.Run(kind, func(t *testing.T) {
			h := requestWorld(t, newer)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 5 * time.Minute})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			h.cloud.Inject(fakecloud.Fault{Kind: kind, Service: "dataworks", Action: "ApplyResourceAccessPermission", Times: 1})
			apply := newRequest("report")
			h.create(apply)
			h.passAnyway(apply)
			h.advance(16 * time.Second)
			h.passAnyway(apply)
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

// TestAMarkInSomebodyElsesReason: only the mark at the end of a reason counts, where the operator puts it. Anywhere else it was copied, by
// mistake or by mischief, and the order is somebody else's.
func TestAMarkInSomebodyElsesReason(t *testing.T) {
	h := requestWorld(t, newer)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropBefore, Service: "dataworks", Only: "writes", Times: 1})
	victim := newRequest("report")
	h.create(victim)
	h.passAnyway(victim)
	token := stored(h, victim).Status.Submissions[0].Token
	other := h.submitted("other", func(s *v1alpha1.PermissionApplySpec) {
		s.Reason, s.ApplyUserIDs = "as in [k8s:"+token+"]", []string{bob}
	})
	h.advance(20 * time.Second)
	h.awaitSubmitted(victim)
	if n := len(h.cloud.Orders()); n != 2 {
		t.Errorf("%d orders for two requests", n)
	}
	h.must(h.kube.Delete(t.Context(), stored(h, victim)))
	h.awaitGone(victim)
	for _, o := range h.cloud.Orders() {
		if o.ID == h.orderOf(other) && o.State != fakecloud.OrderPending {
			t.Errorf("the order of the other object is %s", o.State)
		}
	}
}

// TestAnotherIdentityDoesNotSeeTheOrders: lists and tokens are each user's own. So while the outcome of a call is not known, an identity
// that has not made it submits nothing.
func TestAnotherIdentityDoesNotSeeTheOrders(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.cloud.AddIdentity(fakecloud.Identity{AccessKeyID: "OTHER", AccessKeySecret: "other-secret", SuperAdministrator: true})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			apply := newRequest("report")
			h.create(apply)
			h.tryPass(apply)
			secret := &corev1.Secret{}
			h.must(h.kube.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "alibaba"}, secret))
			secret.Data = map[string][]byte{"accessKeyId": []byte("OTHER"), "accessKeySecret": []byte("other-secret")}
			h.must(h.kube.Update(t.Context(), secret))
			h.advance(2 * time.Minute)
			h.waitOut(apply, 30*time.Minute)
			h.order()
		})
	}
}

// TestATwinOfAnotherIdentity: a call that was taken for lost may have become an order besides that of its repetition. Another identity
// cannot see in its list whether it has, so it does not let the object go.
func TestATwinOfAnotherIdentity(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.AddIdentity(fakecloud.Identity{AccessKeyID: "OTHER", AccessKeySecret: "other-secret", SuperAdministrator: true})
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 20 * time.Minute})
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	apply := h.submitted("report", select1)
	if n := len(h.cloud.Orders()); n != 2 {
		t.Fatalf("%d orders", n)
	}
	h.must(h.cloud.RejectOrder(h.orderOf(apply), "twice"))
	h.lookNow(apply)
	h.advance(time.Hour)
	secret := &corev1.Secret{}
	h.must(h.kube.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "alibaba"}, secret))
	secret.Data = map[string][]byte{"accessKeyId": []byte("OTHER"), "accessKeySecret": []byte("other-secret")}
	h.must(h.kube.Update(t.Context(), secret))
	h.advance(2 * time.Minute)
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	h.waitOut(apply, time.Hour)
	for _, o := range h.cloud.Orders() {
		if o.State == fakecloud.OrderPending && stored(h, apply) == nil {
			t.Errorf("the object is gone, and order %s still waits for an approver", o.ID)
		}
	}
}

// TestAnEndpointThatNobodyAnswersAt: where no connection was made, nothing was sent, and there is no doubt. Once the endpoint is corrected,
// the request is submitted.
func TestAnEndpointThatNobodyAnswersAt(t *testing.T) {
	h := requestWorld(t, newer)
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = "http://127.0.0.1:1" })
	apply := newRequest("report")
	h.create(apply)
	h.tryPass(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonRemoteUnavailable)
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = h.url })
	h.advance(time.Minute)
	h.waitOut(apply, time.Hour)
	if n := len(h.cloud.Orders()); n != 1 {
		t.Errorf("%d orders an hour after the correction: %s", n, describe(stored(h, apply)))
	}
}

// TestTheEndpointOfTheSecondAttempt: the endpoint on record is that of the call which was accepted, for its orders are followed and revoked
// there.
func TestTheEndpointOfTheSecondAttempt(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropBefore, Service: "dataworks", Only: "writes", Times: 1})
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Service: "dataworks", Only: "writes", Times: 1})
	apply := newRequest("report")
	h.create(apply)
	for range 30 {
		result, err := h.pass(apply)
		if found := stored(h, apply); found.Status.Submissions[0].SendingTime == nil {
			break
		}
		if err != nil {
			h.advance(backoff)
		}
		h.advance(result.RequeueAfter)
	}
	elsewhere := strings.Replace(h.url, "127.0.0.1", "localhost", 1)
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = elsewhere })
	h.advance(time.Minute)
	h.waitOut(apply, 30*time.Minute)
	h.order()
	found := stored(h, apply)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval)
	if found.Status.Endpoint != elsewhere {
		t.Errorf("the request was made at %s, and the status says %s", elsewhere, found.Status.Endpoint)
	}
}

// TestAClockThatIsTwelveMinutesAhead: the services take signatures of clocks that are up to fifteen minutes off, so orders are searched for
// further back than that.
func TestAClockThatIsTwelveMinutesAhead(t *testing.T) {
	h := requestWorld(t, old)
	h.clock.ahead.Add(int64(12 * time.Minute))
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	apply := newRequest("report")
	h.create(apply)
	h.waitOut(apply, time.Hour)
	h.order()
}

// TestTheOrderOfASetMeansNothing: the users of an immutable spec are a set, whose order can be changed. The call is spelled in one way, or
// else the service would take the repeated one for another request.
func TestTheOrderOfASetMeansNothing(t *testing.T) {
	h := requestWorld(t, newer)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 5 * time.Minute})
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} })
	h.create(apply)
	h.passAnyway(apply)
	edited(h, apply, func(p *v1alpha1.PermissionApply) { p.Spec.ApplyUserIDs = []string{bob, alice} })
	h.advance(20 * time.Second)
	h.passAnyway(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval)
}

// TestADeletionThatMayNotSearch: a request that took two attempts is searched for twins before its object goes. Where searching is denied,
// the message names the way out.
func TestADeletionThatMayNotSearch(t *testing.T) {
	h := requestWorld(t, newer)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropBefore, Service: "dataworks", Only: "writes", Times: 1})
	apply := h.submitted("report")
	h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "ListMyApplications", "Forbidden.RAM"))
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	h.waitOut(apply, time.Hour)
	found := stored(h, apply)
	if found == nil {
		return
	}
	if message := conditions.ReadyCondition(found).Message; !strings.Contains(message, "Retain") {
		t.Errorf("the message names no way out: %s", message)
	}
}

// TestACallTakenForLostBeforeTheDeadline: a call that was taken for lost is not repeated after the deadline, and may still have become an
// order. That is searched for before the object goes, so that nobody approves it later.
func TestACallTakenForLostBeforeTheDeadline(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 20 * time.Minute})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			apply := newRequest("report", select1, func(s *v1alpha1.PermissionApplySpec) { s.Duration = &metav1.Duration{Duration: time.Minute} })
			h.create(apply)
			h.passAnyway(apply)
			h.advance(2 * time.Minute)
			h.waitOut(apply, 12*time.Minute)
			h.advance(30 * time.Minute)
			if s := stored(h, apply).Status.Submissions[0]; s.SendingTime != nil || len(s.OrderIDs) > 0 {
				t.Fatalf("%+v", s)
			}
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			h.waitOut(apply, time.Hour)
			if order := h.order(); stored(h, apply) == nil && order.State == fakecloud.OrderPending {
				t.Errorf("the object is gone, and order %s still waits for an approver", order.ID)
			}
		})
	}
}
