package controllers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

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
			if diff := cmp.Diff([]string{"select"}, h.permissions(alice)); diff != "" {
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
			if diff := cmp.Diff([]string{"select", "update"}, h.permissions(alice)); diff != "" {
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

// TestALongerGrantEndsWithTheShorterRequest: what a request has granted for longer is left to another one that grants the same, and ends
// with that. Once the first is gone, nobody else would end it.
func TestALongerGrantEndsWithTheShorterRequest(t *testing.T) {
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

// TestAnHeirEndsWhenItWasGrantedUntil: what a request leaves to another one, its heir, ends with what the heir was granted itself. An
// approver may have granted that for longer than was asked for, and what the approver grants counts.
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

// TestAnInheritanceIsLeftToAllHeirs: what a request would have granted for longer is left to all others that grant the same. One of them
// may go without ending it, and the last one still does.
func TestAnInheritanceIsLeftToAllHeirs(t *testing.T) {
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

// TestARepairKeepsWhatWasInherited: what was left to a request to end stays on record when more of its order is granted later. Nobody else
// would end it.
func TestARepairKeepsWhatWasInherited(t *testing.T) {
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

// TestAnHeirThatGoesMeanwhile: an heir may go at the very moment at which something is left to it, as when its namespace is deleted. The
// object has another pass then, which finds no heir, so that nothing stays granted.
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
				return errors.Join(h.kube.Update(t.Context(), heir), h.kube.Delete(t.Context(), heir))
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

// TestAnEndedColumnSparesItsSibling: of a request's own columns, one may end before another. What it has inherited on the first is not
// revoked while the second lasts, for no call takes single columns away.
func TestAnEndedColumnSparesItsSibling(t *testing.T) {
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

// TestAColumnKeepsNoWholeTable: all columns cannot be revoked without the one that another request grants. The object stays and says so,
// rather than go and leave the whole table readable.
func TestAColumnKeepsNoWholeTable(t *testing.T) {
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

// TestSeveralEntriesCoverOne: what another request grants in several entries counts together. If they have all columns between them,
// nothing has to be revoked, and the object goes.
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

// TestTheOrderOfEntriesMeansNothing: whether another request grants the same column is found out from all of its entries. The object goes,
// whichever of them comes first.
func TestTheOrderOfEntriesMeansNothing(t *testing.T) {
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

// TestOneServiceUnderTwoNames: endpoints are compared by what they mean. A slash at the end makes no other service, so what is granted
// through it stays.
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

// TestWhatWasJustApprovedForAnotherStays: requests for the same that were last seen waiting are looked at before anything is revoked, for
// they may have been granted since.
func TestWhatWasJustApprovedForAnotherStays(t *testing.T) {
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

// TestAnotherRequestInDoubt: while it is not known what became of another request for the same, nothing is revoked with an object. Its
// order may be there and approved, and what that grants stays.
func TestAnotherRequestInDoubt(t *testing.T) {
	h := requestWorld(t, newer)
	one := h.grantedRequest("one", select1)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: 5 * time.Minute})
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
	two := newRequest("two", select1)
	h.create(two)
	h.passAnyway(two)
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

// TestAnUnreadableOrderOfAnotherHoldsUpNoEnd: what has come to its end ends, also if the order of another request for the same cannot be
// read. That can last, and a deadline does not wait for it.
func TestAnUnreadableOrderOfAnotherHoldsUpNoEnd(t *testing.T) {
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

// TestAnOrderOfAnotherIsReadOnce: before anything is revoked, the orders of others that wait are read once in a pass, however many accounts
// are asked for. Otherwise one deletion could use up a day's calls.
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
