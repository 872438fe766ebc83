package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// waitOut makes passes for some time, as often as they ask for, and returns how many.
func (h *harness) waitOut(apply *v1alpha1.PermissionApply, d time.Duration) int {
	h.t.Helper()
	passes := 0
	for end := h.clock.Now().Add(d); h.clock.Now().Before(end); passes++ {
		result, err := h.pass(apply)
		switch {
		case err != nil:
			h.advance(min(time.Second<<min(passes, 9), 5*time.Minute))
		case result.RequeueAfter == 0:
			return passes + 1
		default:
			h.advance(result.RequeueAfter)
		}
	}
	return passes
}

// TestASlowSearchMustNotAgeItsAnswer: submitted at most once (promise 1). How old a call is gets measured after the search, not when the list was
// read: with several pages and a pause of the rate limiter between them, what the first page could not show yet counts as lost. Expected:
// the age is that at the beginning of the search.
func TestASlowSearchMustNotAgeItsAnswer(t *testing.T) {
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
	_, _ = h.pass(apply)
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
	_, _ = h.pass(apply)
	h.crash = nil
	h.waitOut(apply, 30*time.Minute)
	if n := len(h.cloud.Orders()) - before; n != 1 {
		t.Errorf("%d orders were made of one request; the object knows %d", n, len(stored(h, apply).Status.Orders))
	}
}

// TestAMarkInSomebodyElsesReason (promises 1 and 4): a reason may hold the mark of another object, by mischief or copied from the console. While the
// other's call is in doubt, the foreign order is taken for its own: the request is never submitted, and with its object somebody else's order
// is withdrawn or revoked. Expected: only the mark at the end of a reason counts, where the operator puts it.
func TestAMarkInSomebodyElsesReason(t *testing.T) {
	h := requestWorld(t, newer)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropBefore, Service: "dataworks", Only: "writes", Times: 1})
	victim := newRequest("report")
	h.create(victim)
	_, _ = h.pass(victim)
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

// TestAnotherIdentityDoesNotSeeTheOrders (promise 1): while the outcome of a call is unknown, the Secret comes to name another user. Lists and tokens
// are each user's own, so the search finds nothing and a second order is made. Expected: the status remembers who has made the call, and
// under another identity the outcome is unknowable: Stalled/CreateResultUnknown (design 5.5).
func TestAnotherIdentityDoesNotSeeTheOrders(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.cloud.AddIdentity(fakecloud.Identity{AccessKeyID: "OTHER", AccessKeySecret: "other-secret", SuperAdministrator: true})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			apply := newRequest("report")
			h.create(apply)
			_, _ = h.pass(apply)
			secret := &corev1.Secret{}
			h.must(h.kube.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: "alibaba"}, secret))
			secret.Data = map[string][]byte{"accessKeyId": []byte("OTHER"), "accessKeySecret": []byte("other-secret")}
			h.must(h.kube.Update(context.Background(), secret))
			h.advance(2 * time.Minute)
			h.waitOut(apply, 30*time.Minute)
			h.order()
		})
	}
}

// TestAnEndpointThatNobodyAnswersAt (promises 1 and 4): a connection that could not even be opened has sent nothing, but counts as an unknown
// outcome. Who mistypes the endpoint and corrects it has objects that never submit anything and cannot be deleted but with Retain.
// Expected: no connection, no doubt.
func TestAnEndpointThatNobodyAnswersAt(t *testing.T) {
	h := requestWorld(t, newer)
	h.reconnect("prod", func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = "http://127.0.0.1:1" })
	apply := newRequest("report")
	h.create(apply)
	_, _ = h.pass(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonRemoteUnavailable)
	h.reconnect("prod", func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = h.url })
	h.advance(time.Minute)
	h.waitOut(apply, time.Hour)
	if n := len(h.cloud.Orders()); n != 1 {
		t.Errorf("%d orders an hour after the correction: %s", n, describe(stored(h, apply)))
	}
}

// TestTheEndpointOfTheSecondAttempt (promises 1, 4 and 7): a first call was lost for good, the second one refused, and then the connection moves to
// another endpoint. The request is made there, but the status keeps the first endpoint: from then on the object says that the request was made
// where it was not, and can neither follow nor revoke it. Expected: the endpoint on record is the one of the call.
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
	h.reconnect("prod", func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = elsewhere })
	h.advance(time.Minute)
	h.waitOut(apply, 30*time.Minute)
	h.order()
	found := stored(h, apply)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval)
	if found.Status.Endpoint != elsewhere {
		t.Errorf("the request was made at %s, and the status says %s", elsewhere, found.Status.Endpoint)
	}
}

// TestARefusalThatSaysAlreadyExists (promises 1 and 5): "the permission already exists" is a refusal like any other, and the older API has no tokens
// that it could be about. But it is read as "the request was met before": the object alternates between CreateResultUnknown and
// Progressing, writes in every pass, and the user never reads that the service refuses the request. Expected: RemoteRejected, as
// with any refusal; only the code of a token mismatch, of 2024-05-18, is about tokens.
func TestARefusalThatSaysAlreadyExists(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.cloud.Inject(fakecloud.Fault{
				Kind: fakecloud.FaultError, Service: "dataworks", Only: "writes", Status: 400, Code: "InvalidParameter", Message: "The permission already exists.",
			})
			apply := newRequest("report")
			h.create(apply)
			seen := map[string]int{}
			for range 12 {
				result, err := h.pass(apply)
				seen[decided(stored(h, apply))]++
				if err != nil {
					h.advance(5 * time.Minute)
				}
				h.advance(result.RequeueAfter)
			}
			if diff := cmp.Diff(map[string]int{" False/RemoteRejected": 12}, seen); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestACallThatAlwaysFails (promise 5 and design 5.10): a service that answers the submission with 500 is asked again and again, and searched each
// time, at a pace that no pending request is looked at: a basic edition's day of 100 calls is gone within hours. Expected: the pace of the
// attempts falls like that of the looks.
func TestACallThatAlwaysFails(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			day := func(fails bool) int64 {
				h := requestWorld(t, version)
				if fails {
					h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Service: "dataworks", Only: "writes"})
				}
				apply := newRequest("report", select1)
				h.create(apply)
				calls := h.calls.Load()
				h.waitOut(apply, 24*time.Hour)
				return h.calls.Load() - calls
			}
			healthy, failing := day(false), day(true)
			if failing > 2*healthy {
				t.Errorf("%d calls in a day for a request that cannot be submitted, %d for one that waits for its approver", failing, healthy)
			}
		})
	}
}

// TestTooManyCallsAreNotRecorded (promise 6): a request that takes more calls than the schema has room for is refused, but only after all of them were
// put into the status: the API server rejects the write, so that the object never says anything, and fails for ever. Expected: what is
// too much is not recorded.
func TestTooManyCallsAreNotRecorded(t *testing.T) {
	h := requestWorld(t, newer)
	apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) {
		s.ApplyUserIDs, s.Objects = nil, nil
		for i := range 50 {
			s.ApplyUserIDs = append(s.ApplyUserIDs, fmt.Sprint(267842600408990000+i))
		}
		var columns []v1alpha1.ApplyColumn
		for i := range 10 {
			columns = append(columns, v1alpha1.ApplyColumn{Name: fmt.Sprintf("c%d", i)})
		}
		for i := range 400 {
			s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: fmt.Sprintf("table_%03d", i), Actions: []v1alpha1.TableAction{"Select"}, Columns: columns})
		}
	})
	h.create(apply)
	_, _ = h.pass(apply)
	found := stored(h, apply)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	if n := len(found.Status.Submissions); n > 500 {
		t.Errorf("%d submissions in the status, where the schema allows 500", n)
	}
}

// TestTheStatusFitsIntoTheStore (promise 6): with long names, the columns that were looked up are more than the store takes, 1.5 MiB for an object by
// default; the write of the intent is then refused for ever. Expected: the bound is on bytes.
func TestTheStatusFitsIntoTheStore(t *testing.T) {
	h := requestWorld(t, old)
	apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) {
		s.Objects = nil
		for i := range 390 {
			name, columns := fmt.Sprintf("table_%03d", i), []fakecloud.Column{}
			for j := range 40 {
				columns = append(columns, fakecloud.Column{Name: strings.Repeat("c", 125) + fmt.Sprintf("%03d", j), Type: "STRING"})
			}
			h.must(h.cloud.DeclareTable(project, "", name, columns...))
			s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: name, Actions: []v1alpha1.TableAction{"Select"}})
		}
	})
	h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "CreatePermissionApplyOrder", "Forbidden.RAM"))
	h.create(apply)
	_, err := h.pass(apply)
	text, marshalErr := json.Marshal(stored(h, apply))
	h.must(marshalErr)
	if size := len(text); size > 3<<19 {
		t.Errorf("the object has %d bytes, the store takes %d (%v)", size, 3<<19, err)
	}
}

// TestALookThatFailedIsRepeated (promise 5 and design 3): somebody asks for a look at a granted request, and the look fails. The object says
// RemoteUnavailable, Reconciling, for a day. The next pass, whatever it comes of, makes it Granted again without having
// looked. Expected: it is tried again with backoff until it was looked at.
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
			_, _ = h.pass(apply)
			if n := h.calls.Load() - calls; n == 0 {
				t.Errorf("without another look it says %s", describe(stored(h, apply)))
			}
		})
	}
}

// TestAnObjectOfWhichNothingWasApproved (promises 2 and 4): an approver leaves something of one table and nothing of another. With the older API the
// order cannot be read any more: what was granted is never followed, ended or revoked. With the newer one, what was left out is read as
// granted. Expected: an object without actions is one of which nothing was granted, once the order is decided; and where one content of
// an order says what was approved of it, one that does not say has nothing.
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

// TestAStaleReadMustNotTakeBackAnApproval (promise 2): an order that was seen approved is Pending again when a copy that is behind is read, so the
// condition goes back and forth. Expected: it only moves on.
func TestAStaleReadMustNotTakeBackAnApproval(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report")
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{Hold: true}))
	mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonApproved)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Service: "dataworks", StaleWrites: 1, Times: 1})
	mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonApproved)
}
