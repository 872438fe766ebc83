package controllers_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// ordersByTable counts the orders that a table is in.
func (h *harness) ordersByTable() map[string]int {
	counts := map[string]int{}
	for _, o := range h.cloud.Orders() {
		tables := map[string]bool{} // an object may be there once per user
		for _, object := range o.Objects {
			tables[object.Name] = true
		}
		for table := range tables {
			counts[table]++
		}
	}
	return counts
}

// TestARequestIsSubmittedOnce: 2,000 times the operator dies, or an answer is lost, at some point around the submission, while lists lag
// behind. There are never two orders for a table, and never none; and the object knows of all of them.
func TestARequestIsSubmittedOnce(t *testing.T) {
	const workers = 4
	for worker := range workers {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for seed := worker; seed < 2000; seed += workers {
				submitOnce(t, uint64(seed))
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// losses are the ways in which the outcome of a call is not known.
var losses = []string{
	fakecloud.FaultDropAfter, fakecloud.FaultDropBefore, fakecloud.FaultGarbled, fakecloud.FaultServerError, fakecloud.FaultHTML502, fakecloud.FaultErrorInside,
}

func submitOnce(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	h := requestWorld(t, generations[seed%2])
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: time.Duration(r.IntN(480)) * time.Second})
	want := map[string]int{"orders": 1}
	var change []func(*v1alpha1.PermissionApplySpec)
	if r.IntN(2) == 0 {
		change, want["customers"] = append(change, twoTables), 1
		if r.IntN(2) == 0 {
			h.must(h.cloud.SetApprovers(project, "customers", "182293110499999999"))
		}
	}
	if r.IntN(3) == 0 {
		change = append(change, func(s *v1alpha1.PermissionApplySpec) { s.Duration = &metav1.Duration{Duration: 720 * time.Hour} })
	}
	// Up to three deaths or losses, most of them close to the first call that submits.
	for range 1 + r.IntN(3) {
		h.cloud.Inject(fakecloud.Fault{Kind: losses[r.IntN(len(losses))], Service: "dataworks", After: r.IntN(4), Times: 1})
	}
	die := map[int64]bool{}
	for range r.IntN(3) {
		die[1+r.Int64N(8)] = r.IntN(2) == 0
	}
	h.crash = func(call int64, before bool) {
		if at, dies := die[call]; dies && at == before {
			panic(errCrashed)
		}
	}
	dieAtWrite := 1 + r.IntN(8)
	h.afterWrite = func(n int) error {
		if n == dieAtWrite && seed%3 == 0 {
			panic(errCrashed)
		}
		return nil
	}
	apply := newRequest("report", change...)
	h.create(apply)
	h.awaitSubmitted(apply)
	if got := h.ordersByTable(); !maps.Equal(got, want) {
		t.Errorf("orders by table: %v, want %v", got, want)
	}
	found := stored(h, apply)
	var known, all []string
	for _, o := range found.Status.Orders {
		known = append(known, o.ID)
	}
	for _, o := range h.cloud.Orders() {
		all = append(all, o.ID)
	}
	slices.Sort(known)
	slices.Sort(all)
	if !slices.Equal(known, all) {
		t.Errorf("the object knows of %v, and there are %v", known, all)
	}
}

// awaitSubmitted makes passes until a request waits for its approvers and nothing about its submission is open.
func (h *harness) awaitSubmitted(apply *v1alpha1.PermissionApply) {
	h.t.Helper()
	for range 60 {
		found := stored(h, apply)
		if ready := conditions.ReadyCondition(found); ready != nil && ready.Reason == v1alpha1.ReasonAwaitingApproval && !isInDoubt(found) {
			return
		}
		h.tryPass(apply)
	}
	h.t.Errorf("not submitted: %s", describe(stored(h, apply)))
}

func isInDoubt(apply *v1alpha1.PermissionApply) bool {
	return slices.ContainsFunc(apply.Status.Submissions, func(s v1alpha1.Submission) bool { return s.SendingTime != nil || len(s.OrderIDs) == 0 })
}

// TestWhenNobodyCanKnow: an answer was lost, and the orders must not be listed. Nothing is sent again, and the object says why.
func TestWhenNobodyCanKnow(t *testing.T) {
	for version, list := range map[string]string{old: "ListPermissionApplyOrders", newer: "ListMyApplications"} {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, list, "Forbidden.RAM"))
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", Times: 1})
			apply := newRequest("report")
			h.create(apply)
			for range 10 {
				h.tryPass(apply)
			}
			found := stored(h, apply)
			mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonCreateResultUnknown)
			if message := conditions.ReadyCondition(found).Message; !strings.Contains(message, "[k8s:uid-report-") {
				t.Errorf("the message does not say what to look for: %s", message)
			}
			h.order()

			h.must(h.cloud.Allow(fakecloud.DefaultAccessKeyID))
			found = h.lookNow(apply)
			mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval)
			h.order()
		})
	}
}

// TestARefusedRequestIsTriedAgain: a refusal leaves no doubt; what was refused is asked for again, and not searched for.
func TestARefusedRequestIsTriedAgain(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Service: "dataworks", Times: 2})
			apply := newRequest("report")
			h.create(apply)
			if _, err := h.pass(apply); err == nil {
				t.Error("the pass did not ask for another one")
			}
			mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonPermissionDenied)
			h.awaitSubmitted(apply)
			for _, e := range h.cloud.Journal() {
				if strings.HasPrefix(e.Action, "List") {
					t.Errorf("searched: %s", e.Action)
				}
			}
			h.order()
		})
	}
}

// TestManyTables: what does not fit into one call takes several, each of them made once.
func TestManyTables(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) {
				s.ApplyUserIDs, s.Objects = []string{alice, bob}, nil
				for i := range 400 {
					name := fmt.Sprintf("table_%03d", i)
					h.must(h.cloud.DeclareTable(project, "", name, fakecloud.Column{Name: "id", Type: "BIGINT"}, fakecloud.Column{Name: "ds", Type: "STRING"}))
					s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: name, Actions: []v1alpha1.TableAction{"Select"}})
				}
			})
			h.create(apply)
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Service: "dataworks", Only: "writes", After: 1, Times: 1})
			h.awaitSubmitted(apply)
			counts := h.ordersByTable()
			for i := range 400 {
				if n := counts[fmt.Sprintf("table_%03d", i)]; n != 1 {
					t.Errorf("table %d is in %d orders", i, n)
				}
			}
			found := stored(h, apply)
			t.Logf("%d calls, %d orders", len(found.Status.Submissions), len(found.Status.Orders))
			if len(found.Status.Submissions) < 2 {
				t.Error("400 tables for two people fit into one call")
			}
			h.quiet(apply)
		})
	}
}
