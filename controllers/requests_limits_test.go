package controllers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestTooManyCallsAreNotRecorded: a request that takes more calls than the schema has room for is refused before they are recorded. The API
// server would not store such a status, and the object could not even say so.
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
	h.tryPass(apply)
	found := stored(h, apply)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	if n := len(found.Status.Submissions); n > 500 {
		t.Errorf("%d submissions in the status, where the schema allows 500", n)
	}
}

// TestTheStatusFitsIntoTheStore: the API server stores objects of up to 1.5 MiB. The columns that were looked up of a request stay below
// that, however long their names are.
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

// TestWhatTheServiceSaysFitsTheSchema: what an order says of its users and actions is bounded before it is recorded. The API server would
// not store more than the schema allows, and nothing of the order could be revoked.
func TestWhatTheServiceSaysFitsTheSchema(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1)
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.rewrite = contents(func(all []map[string]any) []map[string]any {
		all[0]["FinalAccessTypes"] = []string{"select", strings.Repeat("x", 100)}
		for i := range 60 {
			other := map[string]any{}
			maps.Copy(other, all[0])
			other["Grantee"] = map[string]any{"PrincipalType": "RamUser", "PrincipalId": fmt.Sprint(1000 + i)}
			all = append(all, other)
		}
		return all
	})
	found := h.lookNow(apply)
	for _, g := range found.Status.Orders[0].Granted {
		if len(g.UserIDs) > 50 {
			t.Errorf("%d users, where the schema allows 50", len(g.UserIDs))
		}
		for _, a := range g.Actions {
			if len(a) > 64 {
				t.Errorf("an action of %d characters, where the schema allows 64", len(a))
			}
		}
	}
}

// TestWhatCanNeverBeSentIsNotLookedUpAgain: a request that no call has room for stays so, for it is immutable. Looking up its columns again
// would cost calls and change nothing.
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
	h.tryPass(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	calls := h.calls.Load()
	h.waitOut(apply, 24*time.Hour)
	if n := h.calls.Load() - calls; n > 100 {
		t.Errorf("%d calls in a day for a request that can never be sent", n)
	}
}

// TestACallThatAlwaysFails: submitting is tried ever more rarely, as a request that waits is looked at. Otherwise one object would use up a
// day's calls.
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

// TestARefusalThatLastsKeepsToTheBudget: what is refused at the end of a request, or cannot be found after a lost call, is tried again as
// rarely as a refused submission. On a small budget, others have calls left.
func TestARefusalThatLastsKeepsToTheBudget(t *testing.T) {
	tests := map[string]func(h *harness) *v1alpha1.PermissionApply{
		"revoking at the deadline": func(h *harness) *v1alpha1.PermissionApply {
			h.use(old)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
			apply := h.grantedRequest("report", select1, forDays(2))
			h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "RevokeTablePermission", "Forbidden.RAM"))
			h.must(h.cloud.KillUser("RAM$corp:alice"))
			h.advance(2 * days)
			return apply
		},
		"withdrawing at the deadline": func(h *harness) *v1alpha1.PermissionApply {
			apply := h.submitted("report", select1, forDays(2))
			h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "StopProcessInstance", "Forbidden.RAM"))
			h.advance(2 * days)
			return apply
		},
		"an order that was not found": func(h *harness) *v1alpha1.PermissionApply {
			// The list never shows the last of the two orders, as if it were somebody else's.
			h.must(h.cloud.SetApprovers(project, "customers", "182293110499999999"))
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLagOrders: 1})
			apply := newRequest("report", select1, twoTables)
			h.use(old)
			h.create(apply)
			h.waitOut(apply, time.Hour)
			mustBe(h.t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonCreateResultUnknown)
			return apply
		},
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, newer)
			h.limitCalls(100)
			apply := begin(h)
			h.advance(25 * time.Hour)
			calls := h.calls.Load()
			h.waitOut(apply, 8*time.Hour)
			if n := h.calls.Load() - calls; n > 40 {
				t.Errorf("%d calls in 8 hours, on a budget of 100 a day: %s", n, describe(stored(h, apply)))
			}
		})
	}
}

// TestADayWithoutCalls: a deadline is kept without calls, too: what the call cannot revoke, the statement does, which is in no budget.
func TestADayWithoutCalls(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	apply := h.grantedRequest("report", select1, forDays(30))
	h.limitCalls(10)
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

// TestARefusedPartHoldsUpNoOther: of several calls, each is tried, also those that come after one which is refused.
func TestARefusedPartHoldsUpNoOther(t *testing.T) {
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

// TestARefusalThatSaysAlreadyExists: that a permission exists already is a refusal like any other, and not about a token that the service
// has met before.
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

// TestAColumnNamedLikeAnEnd: a refusal that names a column expires_at is not about the end of the request. When the column is there, the
// permission is asked for with its end.
func TestAColumnNamedLikeAnEnd(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := newRequest("report", select1, forDays(30), func(s *v1alpha1.PermissionApplySpec) {
				s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "id"}, {Name: "expires_at"}}
			})
			h.create(apply)
			h.tryPass(apply)
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

// TestTheRestOfARequestThatHasAnEnd: of several calls, one was accepted with an end, and another one is refused with and without. The
// refused attempt changes nothing: once the rest is accepted, it has an end, too.
func TestTheRestOfARequestThatHasAnEnd(t *testing.T) {
	h := requestWorld(t, old)
	apply := newRequest("report", forDays(30), twoWideTables(h))
	h.cloud.Inject(fakecloud.Fault{
		Kind: fakecloud.FaultError, Service: "dataworks", Only: "writes", After: 1, Times: 2, Status: 400, Code: "InvalidParameter", Message: "No such column: label_expires_at.",
	})
	h.create(apply)
	h.waitOut(apply, time.Hour)
	orders := h.cloud.Orders()
	if len(orders) != 2 {
		t.Fatalf("%d orders: %s", len(orders), describe(stored(h, apply)))
	}
	for _, o := range orders {
		if until := o.Deadline; until.After(h.clock.Now().Add(31 * days)) {
			t.Errorf("%s is asked for until %s instead of for 30 days", o.Objects[0].Name, until)
		}
	}
}

// TestADeletionThatCannotGoOnNamesAWayOut: whatever is denied or fails, the message of an object that cannot go says how it can.
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
				h.tryPass(apply)
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
