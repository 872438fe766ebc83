package controllers_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// contents changes the contents of an order of 2024-05-18 on their way to the operator.
func contents(change func([]map[string]any) []map[string]any) func(string) string {
	return func(body string) string {
		var answer map[string]any
		if json.Unmarshal([]byte(body), &answer) != nil {
			return body
		}
		data, _ := answer["Data"].(map[string]any)
		list, _ := data["Contents"].([]any)
		if list == nil {
			return body
		}
		var all []map[string]any
		for _, c := range list {
			all = append(all, c.(map[string]any))
		}
		data["Contents"] = change(all)
		out, err := json.Marshal(answer)
		if err != nil {
			return body
		}
		return string(out)
	}
}

// TestAUserWhoWasLeftOut (promise 2): the order comes back without one of the users. He has got nothing, and the object says Granted, not
// GrantedNarrowed. Expected: whoever was asked for and is not in the order, is missing.
func TestAUserWhoWasLeftOut(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1, func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} })
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.rewrite = contents(func(all []map[string]any) []map[string]any {
		return slices.DeleteFunc(all, func(c map[string]any) bool { return c["Grantee"].(map[string]any)["PrincipalId"] == bob })
	})
	mustBe(t, h.lookNow(apply), metav1.ConditionTrue, v1alpha1.ReasonGrantedNarrowed)
}

// TestTheEarliestEndIsNotTheLast (promise 4): the columns of a table end earlier than the rest of it. After the first end, the whole table counts as
// ended, so that the object goes and what has not ended stays. Expected: what is ended is told by action, or by the latest end.
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

// TestAnEndThatTheServiceDoesNotTell (promises 2 and 3): an order was accepted with a deadline, and its detail names none. The object is Granted for
// ever after, and nobody ends it. Expected: without word of the service the requested end counts, and what may be for ever is revoked then.
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

// TestApprovedForEverAfterTheDeadline (promise 3): once the deadline has passed, an order of the older API that still waits can be approved for ever
// at any moment. It is looked at every four hours, and in between nobody knows: the metric that must be 0 is 0. Expected: after the
// deadline such an order is looked at often, or it is counted as overdue that it can still be approved.
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

// TestOneTableThatFailsMustNotKeepTheOthers (promises 3 and 4): a service that answers 500 for one table keeps the operator from all tables after it,
// for as long as that lasts. Expected: after a few tries the others get their turn.
func TestOneTableThatFailsMustNotKeepTheOthers(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.grantedRequest("report", twoTables, select1)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Service: "odps", Statement: "TABLE orders"})
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	h.waitOut(apply, 24*time.Hour)
	if left := h.permissionsOn("customers", alice); len(left) > 0 {
		t.Errorf("a day later, %v on the other table is still granted: %s", left, describe(stored(h, apply)))
	}
}

// TestWhatIsOverNeedsNoConnection (promises 4 and 5): nothing is left to be done for a request that was refused, but its object cannot be deleted
// without working credentials. Expected: it goes without a call and without a connection.
func TestWhatIsOverNeedsNoConnection(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report")
	h.must(h.cloud.RejectOrder(h.orderOf(apply), "no"))
	mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonRejected)
	h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "alibaba"}}))
	h.restart()
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	for range 3 {
		_, _ = h.pass(apply)
		h.advance(backoff)
	}
	if found := stored(h, apply); found != nil {
		t.Errorf("still there: %s", describe(found))
	}
}

// TestARevocationIsToldOnce (promise 5): the event is made before the status is stored. After a conflict or a crash, the same is revoked and told
// again. Expected: it is told once it is on record.
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

// TestAClockThatIsTwelveMinutesAhead (promise 1): the services take signatures of a clock that is up to fifteen minutes off, but orders are searched
// for from ten minutes before the call on. Expected: the search reaches back further than any clock that the service accepts.
func TestAClockThatIsTwelveMinutesAhead(t *testing.T) {
	h := requestWorld(t, old)
	h.clock.ahead.Add(int64(12 * time.Minute))
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	apply := newRequest("report")
	h.create(apply)
	h.waitOut(apply, time.Hour)
	h.order()
}

// TestARefusedPartMustNotHoldUpTheRest (promise 1): of several calls, one that is refused keeps all calls after it back for as long as it is refused.
// Expected: each is tried, and the refused ones are named, as with roles (PartiallyApplied).
func TestARefusedPartMustNotHoldUpTheRest(t *testing.T) {
	h := requestWorld(t, newer)
	apply := newRequest("report", select1, func(s *v1alpha1.PermissionApplySpec) {
		// Each table takes a call of its own.
		var columns []v1alpha1.ApplyColumn
		var declared []fakecloud.Column
		for i := range 300 {
			name := "c" + time.Duration(i).String()
			columns, declared = append(columns, v1alpha1.ApplyColumn{Name: name}), append(declared, fakecloud.Column{Name: name, Type: "BIGINT"})
		}
		s.Objects = nil
		for _, table := range []string{"first", "second", "third"} {
			of := declared
			if table == "second" {
				of = declared[:1]
			}
			h.must(h.cloud.DeclareTable(project, "", table, of...))
			s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: table, Actions: []v1alpha1.TableAction{"Select"}, Columns: columns})
		}
	})
	h.create(apply)
	h.waitOut(apply, time.Hour)
	if counts := h.ordersByTable(); counts["third"] != 1 {
		t.Errorf("orders by table after an hour: %v; %s", counts, describe(stored(h, apply)))
	}
}

// TestAnEndBeyondTheCalendar (promise 6): a service that says "for ever" with the largest number there is makes a time with a year of nine digits. The
// API server refuses to store it, so that the order stays Pending in the status and nobody ever revokes what it granted. Expected: what
// is beyond the year 9999 is cut down to it.
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

// TestTheOrderOfASetMeansNothing (promise 1): users and actions are sets, so that their order can be changed although they are immutable. The repeated
// call of the newer API then differs from the first, and the service says so: Stalled/CreateResultUnknown, until lists show the order. Expected:
// a request is spelled in one order.
func TestTheOrderOfASetMeansNothing(t *testing.T) {
	h := requestWorld(t, newer)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 5 * time.Minute})
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} })
	h.create(apply)
	_, _ = h.pass(apply)
	edited(h, apply, func(p *v1alpha1.PermissionApply) { p.Spec.ApplyUserIDs = []string{bob, alice} })
	h.advance(20 * time.Second)
	_, _ = h.pass(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval)
}

// TestWhatCanNeverBeSentIsNotLookedUpAgain (promise 5 and design 5.10): the columns of a request that no call has room for are looked up every five minutes,
// for all its tables, although it is Stalled and immutable. Expected: nothing, or not before somebody asks.
func TestWhatCanNeverBeSentIsNotLookedUpAgain(t *testing.T) {
	h := requestWorld(t, old)
	var wide []fakecloud.Column
	for i := range 400 {
		wide = append(wide, fakecloud.Column{Name: "a_rather_long_name_of_a_column_" + time.Duration(i).String(), Type: "STRING"})
	}
	h.must(h.cloud.DeclareTable(project, "", "wide", wide...))
	apply := newRequest("report", twoTables, func(s *v1alpha1.PermissionApplySpec) {
		s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: "wide", Actions: []v1alpha1.TableAction{"Select"}})
	})
	h.create(apply)
	_, _ = h.pass(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	calls := h.calls.Load()
	h.waitOut(apply, 24*time.Hour)
	if n := h.calls.Load() - calls; n > 100 {
		t.Errorf("%d calls in a day for a request that can never be sent", n)
	}
}

// TestADeletionThatMustNotSearch (promise 4): a request that took two attempts is searched for twins before its object goes. If lists are denied, the
// object stays with everything taken back, and the message names no way out. Expected: it names one.
func TestADeletionThatMustNotSearch(t *testing.T) {
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

// TestAVerdictBeforeTheLastOrder (promise 2): of two orders, one was granted for a short time that is over, and the other waits for its approver,
// well before the deadline. The request is Expired and Stalled, and yet it can still be granted. Expected: Pending, as long as an order waits.
func TestAVerdictBeforeTheLastOrder(t *testing.T) {
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

// TestADayWithoutCalls (promise 3): the budget of a day is used up when a permission has to end that the service can only grant for ever. It stays for
// up to a day, although the statement of MaxCompute could revoke it, which is in no budget. Expected: the statement, where the call cannot
// be made.
func TestADayWithoutCalls(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	apply := h.grantedRequest("report", select1, forDays(30))
	h.reconnect("prod", func(c *v1alpha1.AlibabaCloudConnection) { c.RateLimits.DataWorks.CallsPerDay = 10 })
	h.advance(30*24*time.Hour - 2*time.Minute)
	other := h.submitted("other", select1)
	for range 10 {
		h.lookNow(other)
	}
	h.advance(3 * time.Minute)
	h.waitOut(apply, 6*time.Hour)
	if left := h.permissions(alice); len(left) > 0 {
		t.Errorf("six hours after the deadline, %v is still granted: %s", left, describe(stored(h, apply)))
	}
}

// TestOneOrderThatFailsMustNotHideTheOthers (promises 2, 3 and 4): reading one order answers 500, as it may for one order only. All orders after it
// are never read: what they have granted is not seen, not ended and not revoked, also while the object is being deleted. Expected: an order
// that fails costs its own turn, not that of the others.
func TestOneOrderThatFailsMustNotHideTheOthers(t *testing.T) {
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
