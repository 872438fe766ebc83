package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const days = 24 * time.Hour

// remove deletes an object and makes passes until it is gone.
func (h *harness) remove(apply *v1alpha1.PermissionApply) {
	h.t.Helper()
	h.must(h.kube.Delete(context.Background(), stored(h, apply)))
	h.awaitGone(apply)
}

// TestAnHeirEndsWhenItWasGrantedUntil: an approver has granted a request for 30 days that had asked for 10. Another request, which had the same
// for ever, goes and leaves it to the first to end it. From then on the end is the one that was asked for, so that after 10 days the operator
// takes away what the approver has granted for 30 ("What the approver grants counts"). Expected: what was handed over ends when the heir's
// own permission does.
func TestAnHeirEndsWhenItWasGrantedUntil(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			one, two := h.grantedRequest("one", select1), h.submitted("two", select1, forDays(10))
			h.must(h.cloud.ApproveOrder(h.orderOf(two), fakecloud.Approval{Until: h.clock.Now().Add(30 * days)}))
			mustBe(t, h.lookNow(two), metav1.ConditionTrue, v1alpha1.ReasonGranted)
			h.remove(one)
			h.advance(12 * days)
			found, _ := h.step(two)
			if len(h.permissions(alice)) == 0 {
				t.Errorf("granted for 30 days, and revoked after 12: %s; until %s", describe(found), found.Status.Orders[0].Granted[0].Until)
			}
		})
	}
}

// TestAnEntryMustNotTakeItsSiblingAlong: one request has a column for 10 days and another one for 30. What it inherits on the first is revoked
// after 10 days, and since no call takes single columns away, the second goes as well, while the object says that it is granted. Others
// are asked before anything is revoked; the other entries of the request itself are not. Expected: they count as well.
func TestAnEntryMustNotTakeItsSiblingAlong(t *testing.T) {
	h := requestWorld(t, newer)
	columns := func(names ...string) func(*v1alpha1.PermissionApplySpec) {
		return func(s *v1alpha1.PermissionApplySpec) {
			for _, name := range names {
				s.Objects[0].Columns = append(s.Objects[0].Columns, v1alpha1.ApplyColumn{Name: name})
			}
		}
	}
	one, two := h.grantedRequest("one", select1, columns("amount"), forDays(20)), h.submitted("two", select1, columns("amount", "id"), forDays(30))
	h.must(h.cloud.ApproveOrder(h.orderOf(two), fakecloud.Approval{}))
	early := h.clock.Now().Add(10 * days).UnixMilli()
	h.rewrite = contents(func(all []map[string]any) []map[string]any {
		for _, c := range all {
			if strings.Contains(c["Resource"].(map[string]any)["MetaData"].(string), `"amount"`) {
				c["ExpirationTime"] = early
			}
		}
		return all
	})
	mustBe(t, h.lookNow(two), metav1.ConditionTrue, v1alpha1.ReasonGrantedNarrowed)
	h.rewrite = nil
	h.remove(one)
	h.advance(12 * days)
	found, _ := h.step(two)
	if left := h.permissions(alice); len(left) == 0 {
		t.Errorf("%s, and of what is granted until the 30th day nothing is left after 12: %q", decided(found), h.revocations())
	}
}

// TestAnHeirThatGoesMeanwhile: an object hands over to another that has just gone, as when a namespace is deleted with one request that is
// retained and one that is not. The API server says that the heir is not there, which Reconcile takes for its own object: no error, no
// other pass. The object stays for ever, and so do the permissions. Expected: the next pass finds no heir.
func TestAnHeirThatGoesMeanwhile(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			one, two := h.grantedRequest("one", select1), h.grantedRequest("two", select1, forDays(30))
			h.must(h.kube.Delete(t.Context(), stored(h, one)))
			gone := false
			h.beforeWrite = func(int) error {
				if gone {
					return nil
				}
				gone = true
				heir := stored(h, two)
				controllerutil.RemoveFinalizer(heir, v1alpha1.Finalizer)
				return errors.Join(h.kube.Update(context.Background(), heir), h.kube.Delete(context.Background(), heir))
			}
			result, err := h.pass(one)
			if !gone || stored(h, two) != nil {
				t.Fatal("nothing was handed over")
			}
			if stored(h, one) != nil && err == nil && result.RequeueAfter == 0 {
				t.Errorf("nobody comes back to an object that is being deleted, and %v is granted: %s", h.permissions(alice), describe(stored(h, one)))
			}
		})
	}
}

// TestAnOrderThatWasRepaired: granting had failed; somebody repaired it in DataWorks, and nobody asked for a look. A deletion does not read such
// an order either: the object goes at once, without a warning with the newer API, and leaves what was granted. The same at the deadline, for what
// the service can only grant for ever. Expected: an order that can still change is read once more before the object goes, and at the deadline.
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

// TestARepairMustNotForgetWhatWasInherited: of an order that failed, a table was granted, and another request has left it to this one to end it.
// Once the rest was repaired and is looked at, the entries are made anew, and nobody knows any more that the operator has to end one.
// Expected: what was handed over, and what was revoked, stays on record.
func TestARepairMustNotForgetWhatWasInherited(t *testing.T) {
	h := requestWorld(t, newer)
	one, two := h.grantedRequest("one", select1), h.submitted("two", select1, twoTables, forDays(10))
	h.must(h.cloud.ApproveOrder(h.orderOf(two), fakecloud.Approval{}))
	failed := contents(func(all []map[string]any) []map[string]any {
		for _, c := range all {
			if strings.Contains(c["Resource"].(map[string]any)["MetaData"].(string), `"customers"`) {
				c["Status"] = "AuthorizeFailed"
			}
		}
		return all
	})
	h.rewrite = failed
	mustBe(t, h.lookNow(two), metav1.ConditionFalse, v1alpha1.ReasonGrantFailed)
	h.remove(one)
	if g := stored(h, two).Status.Orders[0].Granted; len(g) != 1 || !g[0].RevokeAtEnd {
		t.Fatalf("nothing was handed over: %+v", g)
	}
	h.rewrite = nil
	mustBe(t, h.lookNow(two), metav1.ConditionTrue, v1alpha1.ReasonGranted)
	h.advance(12 * days)
	found, _ := h.step(two)
	if left := h.permissions(alice); len(left) > 0 {
		t.Errorf("%s, and %v is granted until %s", decided(found), left, h.cloud.TablePermissions(project, "orders", alice)[0].Until)
	}
}

// TestAnHeirThatLeavesItsInheritance: what one request has for ever is left to the first of two others, and that goes with Retain, or suspended. What
// it was to end for the first is not its own to leave: the third request, whose end comes, knows nothing of it. Expected: it is handed over
// to all who could keep it, or at least the event of the heir's parting says that it has no end now.
func TestAnHeirThatLeavesItsInheritance(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.PermissionApply){
		"retained":  func(p *v1alpha1.PermissionApply) { p.Spec.DeletionPolicy = v1alpha1.RevocationRetain },
		"suspended": func(p *v1alpha1.PermissionApply) { p.Spec.Suspend = true },
	} {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, newer)
			long := h.grantedRequest("long", select1)
			heir, last := h.grantedRequest("a-heir", select1, forDays(10)), h.grantedRequest("b-last", select1, forDays(30))
			h.remove(long)
			edited(h, heir, change)
			h.drainEvents()
			h.remove(heir)
			told := h.drainEvents()
			h.advance(32 * days)
			h.step(last)
			h.remove(last)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("asked for 10 and 30 days, the one for ever was revoked, all are gone, and %v is granted until %s; told at the parting: %q",
					left, h.cloud.TablePermissions(project, "orders", alice)[0].Until, told)
			}
		})
	}
}

// TestACallTakenForLostBeforeTheDeadline: lists lag for longer than is allowed for, and the request is over meanwhile, so the lost call is never
// repeated. mayBeLeft says that an order may be left; but twins are only looked for after a second attempt. The object goes without a
// search, and its order can still be approved. Expected: "Should a call that was taken for lost still have become an order, the order is found
// and taken back when the object is deleted".
func TestACallTakenForLostBeforeTheDeadline(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 20 * time.Minute})
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			apply := newRequest("report", select1, func(s *v1alpha1.PermissionApplySpec) { s.Duration = &metav1.Duration{Duration: time.Minute} })
			h.create(apply)
			_, _ = h.pass(apply)
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

// TestATwinOfAnotherIdentity: a call that was taken for lost has become an order, and so has its repetition. By the time of the deletion, the
// Connection has another identity, whose list shows neither. The object goes and leaves the twin. Expected: as with a call in doubt, the
// object stays and says so: a list without the order that is known does not tell that there is no other.
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
	h.must(h.kube.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: "alibaba"}, secret))
	secret.Data = map[string][]byte{"accessKeyId": []byte("OTHER"), "accessKeySecret": []byte("other-secret")}
	h.must(h.kube.Update(context.Background(), secret))
	h.advance(2 * time.Minute)
	h.must(h.kube.Delete(t.Context(), stored(h, apply)))
	h.waitOut(apply, time.Hour)
	for _, o := range h.cloud.Orders() {
		if o.State == fakecloud.OrderPending && stored(h, apply) == nil {
			t.Errorf("the object is gone, and order %s still waits for an approver", o.ID)
		}
	}
}

// TestAnotherRequestInDoubt: the answer to another request for the same was lost. Its order is there and was approved, but until it is found the
// other has no orders, and does not count. What it grants is revoked, and then it is found and said to be granted. Expected: as with orders
// that wait, the outcome is waited for, or searched.
func TestAnotherRequestInDoubt(t *testing.T) {
	h := requestWorld(t, newer)
	one := h.grantedRequest("one", select1)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 5 * time.Minute})
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	two := newRequest("two", select1)
	h.create(two)
	_, _ = h.pass(two)
	h.must(h.cloud.ApproveOrder(h.cloud.Orders()[1].ID, fakecloud.Approval{}))
	h.must(h.kube.Delete(t.Context(), stored(h, one)))
	for range 30 {
		h.tryPass(one)
		h.tryPass(two)
	}
	if stored(h, one) != nil {
		t.Errorf("still there: %s", describe(stored(h, one)))
	}
	h.waitOut(two, time.Hour)
	found := h.lookNow(two)
	if left := h.permissions(alice); len(left) == 0 {
		t.Errorf("the other request is %s, and nothing is granted", decided(found))
	}
}

// twoWideTables asks for two tables, each of which takes a call of its own with the older API.
func twoWideTables(h *harness) func(*v1alpha1.PermissionApplySpec) {
	return func(s *v1alpha1.PermissionApplySpec) {
		s.Objects = nil
		for _, table := range []string{"first", "second"} {
			object := v1alpha1.ApplyObject{SchemaName: "default", Name: table, Actions: []v1alpha1.TableAction{"Select"}}
			var declared []fakecloud.Column
			for i := range 110 {
				name := fmt.Sprintf("c%03d", i)
				object.Columns, declared = append(object.Columns, v1alpha1.ApplyColumn{Name: name}), append(declared, fakecloud.Column{Name: name, Type: "BIGINT"})
			}
			h.must(h.cloud.DeclareTable(project, "", table, declared...))
			s.Objects = append(s.Objects, object)
		}
	}
}

// TestTheRestOfARequestThatHasAnEnd: of two calls, the first was accepted with an end. The second is refused for a column whose name reads like
// one, with and without an end; but that there is an order keeps the request from forgetting that it was tried without. Once the
// column is there, the approver is asked for it for ever. Expected: as with a single call, the refused attempt changes nothing.
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

// TestTheOrderOfAnotherMustNotKeepAPermission: what has to end at its deadline does not if the order of another request for the same, which waits for its
// approver, cannot be read, for as long as that lasts: the service answers 500 for it, or names a state that nobody knows. Expected: as with
// a refusal, "what has come to its end ends, also without a call left to find out".
func TestTheOrderOfAnotherMustNotKeepAPermission(t *testing.T) {
	for name, answer := range map[string]string{"500": "", "unknown state": `"FlowStatus":9`} {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, old)
			h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
			one, two := h.grantedRequest("one", select1, forDays(2)), h.submitted("two", select1)
			id := h.orderOf(two)
			h.rewrite = func(body string) string {
				switch {
				case !strings.Contains(body, id):
					return body
				case answer == "":
					return `{"RequestId":"1","Code":"InternalError","Message":"The request processing has failed."}`
				}
				return strings.ReplaceAll(body, `"FlowStatus":1`, answer)
			}
			h.waitOut(one, 4*days)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("two days after the deadline, %v is granted: %s", left, describe(stored(h, one)))
			}
		})
	}
}

// TestAnOrderOfAnotherIsReadOnce: before anything is revoked, orders of others that ask for the same are read; once for each account, in each
// pass, though nothing is asked in between. The basic edition's 100 calls are gone with one deletion. Expected: once in a pass.
func TestAnOrderOfAnotherIsReadOnce(t *testing.T) {
	h := requestWorld(t, newer)
	var users []string
	for i := range 40 {
		id := fmt.Sprint(267842600408990000 + i)
		h.must(h.cloud.AddUser(fakecloud.User{AccountID: id, Principal: fmt.Sprintf("RAM$corp:user%d", i)}))
		users = append(users, id)
	}
	all := func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = users }
	one, two := h.grantedRequest("one", select1, all), h.submitted("two", select1, all)
	id, reads := h.orderOf(two), 0
	h.rewrite = func(body string) string {
		if strings.Contains(body, id) {
			reads++
		}
		return body
	}
	h.remove(one)
	if reads > 5 {
		t.Errorf("the order of the other request was read %d times", reads)
	}
}

// TestARefusalThatLastsDoesNotEatTheBudget: what is refused when it comes to the end of a request, or what cannot be found after a lost call, is tried
// again every five minutes, with calls that are not the background's. On a budget of 100 calls a day nobody can submit anything any more (design
// 5.10: "a failing object costs no more calls than a healthy one"). Expected: the pace of a refused submission, RetryAfterRefusal.
func TestARefusalThatLastsDoesNotEatTheBudget(t *testing.T) {
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
			// Of two orders, somebody else's list never shows one: here it is only hidden.
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

// TestWhatCannotBeRevokedIsSaidInOneOrder: revocations begin anywhere, and what has failed is named in the order in which it was tried. So the message is
// another one in each pass: a write and a Warning event every five minutes for as long as it lasts. Expected: one order (design 3: messages are
// stable from pass to pass; no event on quiet passes).
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
		_, _ = h.pass(apply)
		messages[conditions.ReadyCondition(stored(h, apply)).Message] = true
		h.advance(5 * time.Minute)
	}
	if n := len(messages); n > 1 {
		t.Errorf("%d messages in 10 passes, %d events", n, len(h.drainEvents()))
	}
}

// TestSeveralEntriesCoverOne: another request grants all columns that this one does, in two entries since they differ in another action.
// Nothing has to be revoked, but each entry by itself does not cover the columns: the object stays for as long as the other. Expected: what
// the entries grant together counts.
func TestSeveralEntriesCoverOne(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			one := h.grantedRequest("one", select1, func(s *v1alpha1.PermissionApplySpec) {
				s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "amount"}, {Name: "id"}}
			})
			h.grantedRequest("two", func(s *v1alpha1.PermissionApplySpec) {
				s.Objects[0].Actions = []v1alpha1.TableAction{"Select", "Describe"}
				s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "amount", Actions: []v1alpha1.ColumnAction{"Select"}}, {Name: "id"}}
			})
			h.must(h.kube.Delete(t.Context(), stored(h, one)))
			h.waitOut(one, time.Hour)
			if found := stored(h, one); found != nil {
				t.Errorf("still there: %s", describe(found))
			}
		})
	}
}

// TestAnEntryThatComesFirst: another request grants the same column, and before it another one for another time. Since the first entry does not cover
// the column, the object stays; were the entries listed the other way round, it would go. Expected: whether anything has to be revoked is
// found out from all entries, before one of them is in the way.
func TestAnEntryThatComesFirst(t *testing.T) {
	h := requestWorld(t, newer)
	one := h.grantedRequest("one", select1, func(s *v1alpha1.PermissionApplySpec) { s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "id"}} })
	h.grantedRequest("two", func(s *v1alpha1.PermissionApplySpec) {
		s.Objects[0].Actions = []v1alpha1.TableAction{"Select", "Describe"}
		s.Objects[0].Columns = []v1alpha1.ApplyColumn{{Name: "amount", Actions: []v1alpha1.ColumnAction{"Select"}}, {Name: "id"}}
	})
	h.must(h.kube.Delete(t.Context(), stored(h, one)))
	h.waitOut(one, time.Hour)
	if found := stored(h, one); found != nil {
		t.Errorf("still there: %s", describe(found))
	}
}

// TestARefusalMustNotDelayAnEnd: a part of the request is refused again and again, with a backoff of up to five minutes. It takes the place of the time
// at which the granted part has to end, so that this is noticed minutes late, and the metric that must be 0 is not. Expected: the earlier of the two.
func TestARefusalMustNotDelayAnEnd(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	apply := newRequest("report", forDays(2), twoWideTables(h))
	h.cloud.Inject(fakecloud.Fault{
		Kind: fakecloud.FaultError, Service: "dataworks", Action: "CreatePermissionApplyOrder", After: 2, Status: 400, Code: "InvalidParameter", Message: "refused",
	})
	h.create(apply)
	_, _ = h.pass(apply)
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

// TestALookThatWasAskedForWhileTheConnectionWasAway: somebody asks for a look while the connection means another endpoint, or its Secret is not there.
// The annotation counts as handled, and once the connection is back, the order is not read: its next look may be hours away, and for a
// GrantFailed never comes. Expected: it is handled when there was a look.
func TestALookThatWasAskedForWhileTheConnectionWasAway(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1)
	h.advance(5 * days)
	h.step(apply)
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = "http://127.0.0.1:1" })
	h.annotate(apply, v1alpha1.RequestedAtAnnotation, "now")
	_, _ = h.pass(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = h.url })
	for range 3 {
		_, _ = h.pass(apply)
		h.advance(time.Minute)
	}
	mustBe(t, stored(h, apply), metav1.ConditionTrue, v1alpha1.ReasonGranted)
}

// TestAWithdrawalWhoseAnswerWasLost: the deadline takes back what nobody has decided about. If the answer is lost, or the operator dies, and the order is
// looked at before the withdrawal is repeated, the request is Withdrawn, "somebody took it back". Expected: Expired either way.
func TestAWithdrawalWhoseAnswerWasLost(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1, forDays(2))
	h.advance(2 * days)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Action: "StopProcessInstance", Times: 1})
	_, _ = h.pass(apply)
	h.restart() // a new process looks at all orders
	h.waitOut(apply, 6*time.Hour)
	if got := decided(stored(h, apply)); got != "Expired False/Expired" {
		t.Errorf("got %s", got)
	}
}

// TestARevocationWithTheObjectIsToldOnce: with the object, what was revoked is told before the finalizer is taken off. If that fails, all of it is
// revoked and told again. Expected: it is told once it is on record, or when the object is gone.
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

// TestWhatTheServiceSaysFitsTheSchema: what an order says of its users and actions is recorded as it comes. More users, or longer words, than the
// schema has room for make a status that the API server refuses, so that the order stays Pending and nothing of it is ended or revoked.
// Expected: it is bounded, as comments and ends are.
func TestWhatTheServiceSaysFitsTheSchema(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1)
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.rewrite = contents(func(all []map[string]any) []map[string]any {
		all[0]["FinalAccessTypes"] = []string{"select", strings.Repeat("x", 100)}
		for i := range 60 {
			other := map[string]any{}
			for k, v := range all[0] {
				other[k] = v
			}
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
