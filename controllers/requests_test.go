package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	alice      = "267842600408993176"
	bob        = "267842600408993177"
	workspace  = 12345
	old, newer = "2020-05-18", "2024-05-18"
)

// days are of 24 hours each, as in 10 * days.
const days = 24 * time.Hour

// generations are the versions of the API.
var generations = []string{old, newer}

// requestWorld is a harness in which requests can be made.
func requestWorld(t testing.TB, version string) *harness {
	t.Helper()
	h := newHarness(t)
	h.takeRequests(version)
	return h
}

// takeRequests adds two people and two tables, and has the connection use one version of the API.
func (h *harness) takeRequests(version string) {
	h.t.Helper()
	h.must(h.cloud.AddUser(fakecloud.User{AccountID: alice, Principal: "RAM$corp:alice"}))
	h.must(h.cloud.AddUser(fakecloud.User{AccountID: bob, Principal: "RAM$corp:bob"}))
	for _, table := range []string{"orders", "customers"} {
		h.must(h.cloud.DeclareTable(project, "", table,
			fakecloud.Column{Name: "id", Type: "BIGINT"}, fakecloud.Column{Name: "amount", Type: "DECIMAL"}, fakecloud.Column{Name: "ds", Type: "STRING", Partition: true}))
	}
	h.cloud.ResetJournal()
	h.use(version)
}

// use has the connection speak a version of the API.
func (h *harness) use(version string) {
	h.t.Helper()
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.DataWorksAPIVersion = version })
}

// reconnect changes the connection.
func (h *harness) reconnect(change func(*v1alpha1.AlibabaCloudConnection)) {
	h.t.Helper()
	connection := h.newConnection()
	h.must(h.kube.Get(context.Background(), request(connection).NamespacedName, connection))
	change(connection.Spec.AlibabaCloud)
	connection.Generation++
	h.must(h.kube.Update(context.Background(), connection))
}

func newRequest(name string, change ...func(*v1alpha1.PermissionApplySpec)) *v1alpha1.PermissionApply {
	apply := &v1alpha1.PermissionApply{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.PermissionApplySpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ApplyUserIDs: []string{alice}, Reason: "Quarterly report", ProjectName: project,
			WorkspaceID: workspace, ApplyType: v1alpha1.ApplyTypeTable, ReadyWhen: v1alpha1.ReadyWhenGranted, DeletionPolicy: v1alpha1.RevocationRevoke,
			Objects: []v1alpha1.ApplyObject{{SchemaName: "default", Name: "orders", Actions: []v1alpha1.TableAction{"Select", "Update"}}},
		},
		Status: v1alpha1.PermissionApplyStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
	for _, c := range change {
		c(&apply.Spec)
	}
	return apply
}

// select1 asks for nothing but Select on the table.
func select1(s *v1alpha1.PermissionApplySpec) {
	s.Objects[0].Actions = []v1alpha1.TableAction{"Select"}
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

// advance lets time pass, for the operator and for the cloud.
func (h *harness) advance(d time.Duration) {
	h.clock.ahead.Add(int64(d))
	h.cloud.ShiftClock(d)
}

// step makes passes until one asks for nothing within half a minute, and returns the object and when it wants to be looked at again.
func (h *harness) step(apply *v1alpha1.PermissionApply) (*v1alpha1.PermissionApply, time.Duration) {
	h.t.Helper()
	var result ctrl.Result
	for range 30 {
		var err error
		result, err = h.pass(apply)
		if err == nil && (result.RequeueAfter == 0 || result.RequeueAfter > 30*time.Second) {
			break
		}
		h.advance(max(result.RequeueAfter, time.Second))
	}
	return stored(h, apply), result.RequeueAfter
}

// await makes passes, and lets the time pass that they ask for, until a request is in a state; in the state "gone", the object is gone.
func (h *harness) await(apply *v1alpha1.PermissionApply, want v1alpha1.RequestState) *v1alpha1.PermissionApply {
	h.t.Helper()
	for range 100 {
		found := stored(h, apply)
		if found == nil && want == gone || found != nil && found.Status.State == want && h.isTracked(found) {
			return found
		}
		h.tryPass(apply)
	}
	h.t.Fatalf("not %s: %s", want, describe(stored(h, apply)))
	return nil
}

// tryPass makes a pass, whatever comes of it, and lets the time pass until the next.
func (h *harness) tryPass(apply *v1alpha1.PermissionApply) {
	result, err := h.pass(apply)
	wait := result.RequeueAfter
	if err != nil {
		wait = backoff
	}
	h.advance(max(wait, time.Second))
}

// passAnyway makes a pass, whatever comes of it, and leaves the time to the test.
func (h *harness) passAnyway(apply *v1alpha1.PermissionApply) {
	_, _ = h.pass(apply) //nolint:errcheck // what the pass leaves behind is what counts
}

// waitOut makes passes for some time, as often as they ask for, or until one asks for none.
func (h *harness) waitOut(apply *v1alpha1.PermissionApply, d time.Duration) {
	h.t.Helper()
	passes := 0
	for end := h.clock.Now().Add(d); h.clock.Now().Before(end); passes++ {
		result, err := h.pass(apply)
		switch {
		case err != nil:
			h.advance(min(time.Second<<min(passes, 9), 5*time.Minute))
		case result.RequeueAfter == 0:
			return
		default:
			h.advance(result.RequeueAfter)
		}
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

// remove deletes an object and makes passes until it is gone.
func (h *harness) remove(apply *v1alpha1.PermissionApply) {
	h.t.Helper()
	h.must(h.kube.Delete(h.t.Context(), stored(h, apply)))
	h.awaitGone(apply)
}

// gone is what a request is whose object is not there any more.
const gone v1alpha1.RequestState = "gone"

// isTracked tells whether a request knows of all orders that there are.
func (h *harness) isTracked(apply *v1alpha1.PermissionApply) bool {
	return len(apply.Status.Orders) == len(h.cloud.Orders())
}

// requestLife walks a request through its life: it is submitted, approved, and taken back with its object. At no time are there two orders.
func requestLife(version string) func(*harness) {
	return func(h *harness) {
		h.t.Helper()
		h.takeRequests(version)
		apply := newRequest("report")
		h.create(apply)
		h.await(apply, v1alpha1.RequestPending)
		h.must(h.cloud.ApproveOrder(h.order().ID, fakecloud.Approval{}))
		mustBe(h.t, h.await(apply, v1alpha1.RequestGranted), metav1.ConditionTrue, v1alpha1.ReasonGranted)
		if diff := cmp.Diff([]string{"select", "update"}, h.permissions(alice)); diff != "" {
			h.t.Errorf("granted (-want +got):\n%s", diff)
		}
		h.must(client.IgnoreNotFound(h.kube.Delete(context.Background(), stored(h, apply))))
		h.await(apply, gone)
		if left := h.permissions(alice); len(left) > 0 {
			h.t.Errorf("still granted: %v", left)
		}
		h.order()
	}
}

// order is the only order there is.
func (h *harness) order() fakecloud.Order {
	h.t.Helper()
	orders := h.cloud.Orders()
	if len(orders) != 1 {
		h.t.Fatalf("there are %d orders, want 1: %+v", len(orders), orders)
	}
	return orders[0]
}

// permissions lists what somebody has on the table orders because of orders, as "action until".
func (h *harness) permissions(user string) []string { return h.permissionsOn("orders", user) }

func (h *harness) permissionsOn(table, user string) []string {
	var out []string
	for _, p := range h.cloud.TablePermissions(project, table, user) {
		text := p.Action
		if len(p.Columns) > 0 {
			text += "(" + strings.Join(p.Columns, ",") + ")"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

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

func TestARequestIsSubmittedApprovedAndRevoked(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := newRequest("report")
			h.create(apply)
			again := h.checkPending(apply)

			h.must(h.cloud.ApproveOrder(h.order().ID, fakecloud.Approval{Comment: "fine"}))
			h.advance(again)
			h.checkGranted(apply)

			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			if left, _ := h.step(apply); left != nil {
				t.Errorf("still there: %s", describe(left))
			}
			if left := h.permissions(alice); len(left) != 0 {
				t.Errorf("still granted: %v", left)
			}
		})
	}
}

// checkPending asserts that a request waits for its approver, and returns when it is looked at again.
func (h *harness) checkPending(apply *v1alpha1.PermissionApply) time.Duration {
	h.t.Helper()
	pending, again := h.step(apply)
	mustBe(h.t, pending, metav1.ConditionFalse, v1alpha1.ReasonAwaitingApproval)
	order := h.order()
	if pending.Status.State != v1alpha1.RequestPending || len(pending.Status.Orders) != 1 || pending.Status.Orders[0].ID != order.ID {
		h.t.Errorf("status %+v, order %s", pending.Status, order.ID)
	}
	if !strings.HasPrefix(order.Reason, "Quarterly report [k8s:uid-report-") {
		h.t.Errorf("reason %q", order.Reason)
	}
	if again < 30*time.Second || again > 66*time.Second {
		h.t.Errorf("looks again after %s, want a minute", again)
	}
	h.quiet(apply)
	return again
}

// checkGranted asserts that a request is granted, and that nobody asks about it any more.
func (h *harness) checkGranted(apply *v1alpha1.PermissionApply) {
	h.t.Helper()
	granted, again := h.step(apply)
	mustBe(h.t, granted, metav1.ConditionTrue, v1alpha1.ReasonGranted)
	if granted.Status.State != v1alpha1.RequestGranted || granted.Status.ObservedGeneration != 1 {
		h.t.Errorf("status %+v", granted.Status)
	}
	if diff := cmp.Diff([]string{"select", "update"}, h.permissions(alice)); diff != "" {
		h.t.Error(diff)
	}
	if again != 0 && again < time.Hour {
		h.t.Errorf("a granted request is looked at again after %s", again)
	}
	calls := h.calls.Load()
	h.quiet(apply)
	if n := h.calls.Load() - calls; n != 0 {
		h.t.Errorf("%d calls about a request that is granted", n)
	}
}
