package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// decided is what a user reads of a request: its state, and Ready with its reason.
func decided(apply *v1alpha1.PermissionApply) string {
	ready := conditions.ReadyCondition(apply)
	if ready == nil {
		return string(apply.Status.State) + " -"
	}
	return fmt.Sprintf("%s %s/%s", apply.Status.State, ready.Status, ready.Reason)
}

// lookNow makes the passes that somebody gets who asks for a look.
func (h *harness) lookNow(apply *v1alpha1.PermissionApply) *v1alpha1.PermissionApply {
	h.t.Helper()
	h.annotate(apply, v1alpha1.RequestedAtAnnotation, fmt.Sprint(h.calls.Load(), h.clock.ahead.Load()))
	found, _ := h.step(apply)
	return found
}

// TestEveryStateOfARequest: what people and the service do with an order, and what is to be read then.
func TestEveryStateOfARequest(t *testing.T) {
	end := time.Now().Add(90 * 24 * time.Hour)
	tests := map[string]struct {
		do   func(h *harness, id string) error
		want string
		only string
		// mentions is part of the message.
		mentions string
	}{
		"waits":   {func(*harness, string) error { return nil }, "Pending False/AwaitingApproval", "", "waits for an approver"},
		"granted": {func(h *harness, id string) error { return h.cloud.ApproveOrder(id, fakecloud.Approval{}) }, "Granted True/Granted", "", "was granted"},
		"granted, shorter": {func(h *harness, id string) error {
			return h.cloud.ApproveOrder(id, fakecloud.Approval{Until: end.Add(-time.Hour)})
		}, "Granted True/GrantedNarrowed", "", "shorter"},
		"granted, longer": {func(h *harness, id string) error {
			return h.cloud.ApproveOrder(id, fakecloud.Approval{Until: end.Add(time.Hour)})
		}, "Granted True/Granted", "", ""},
		"granted, fewer actions": {func(h *harness, id string) error {
			return h.cloud.ApproveOrder(id, fakecloud.Approval{Actions: []string{"Select"}, Comment: "reading will do"})
		}, "Granted True/GrantedNarrowed", "", "less"},
		"approved, and being granted": {func(h *harness, id string) error { return h.cloud.ApproveOrder(id, fakecloud.Approval{Hold: true}) }, "Approved False/Approved", newer, "not there yet"},
		// The older API has no state for that.
		"approved, and being granted, older": {func(h *harness, id string) error { return h.cloud.ApproveOrder(id, fakecloud.Approval{Hold: true}) }, "Pending False/AwaitingApproval", old, ""},
		"approved, and not to be granted":    {func(h *harness, id string) error { return h.cloud.FailAuthorisation(id, "") }, "GrantFailed False/GrantFailed", "", "could not be granted"},
		"rejected":                           {func(h *harness, id string) error { return h.cloud.RejectOrder(id, "not now") }, "Rejected False/Rejected", "", "was rejected"},
		"rejected, the older API says why":   {func(h *harness, id string) error { return h.cloud.RejectOrder(id, "not now") }, "Rejected False/Rejected", old, `comment: "not now"`},
		"withdrawn by somebody":              {func(h *harness, id string) error { return h.cloud.WithdrawOrder(id) }, "Withdrawn False/Withdrawn", "", "was withdrawn"},
		"deleted by somebody":                {func(h *harness, id string) error { return h.cloud.DeleteOrder(id) }, "Withdrawn False/Withdrawn", newer, ""},
	}
	for name, tc := range tests {
		for _, version := range generations {
			if tc.only != "" && tc.only != version {
				continue
			}
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				h := requestWorld(t, version)
				apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) { s.Deadline = new(metav1.NewTime(end.Truncate(time.Second))) })
				h.create(apply)
				h.step(apply)
				h.must(tc.do(h, h.order().ID))
				found := h.lookNow(apply)
				if got := decided(found); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
				if message := conditions.ReadyCondition(found).Message; !strings.Contains(message, tc.mentions) {
					t.Errorf("the message %q does not mention %q", message, tc.mentions)
				}
				h.quiet(apply)
			})
		}
	}
}

// TestEachChangeIsTold: one event for each change of a request, and none in between. What somebody has to know is a warning.
func TestEachChangeIsTold(t *testing.T) {
	approve := func(h *harness, id string) error { return h.cloud.ApproveOrder(id, fakecloud.Approval{}) }
	tests := map[string]struct {
		do   func(*harness, string) error
		then time.Duration
		want []string
	}{
		"granted, and over": {approve, 48 * time.Hour, []string{"Normal AwaitingApproval", "Normal Granted", "Warning Expired"}},
		"approved, and then granted": {func(h *harness, id string) error {
			if err := h.cloud.ApproveOrder(id, fakecloud.Approval{Hold: true}); err != nil {
				return err
			}
			h.lookNow(newRequest("report"))
			return h.cloud.AuthoriseOrder(id)
		}, 0, []string{"Normal AwaitingApproval", "Warning Approved", "Normal Granted"}},
		"rejected":       {func(h *harness, id string) error { return h.cloud.RejectOrder(id, "no") }, 0, []string{"Normal AwaitingApproval", "Warning Rejected"}},
		"not granted":    {func(h *harness, id string) error { return h.cloud.FailAuthorisation(id, "") }, 0, []string{"Normal AwaitingApproval", "Warning GrantFailed"}},
		"taken back":     {func(h *harness, id string) error { return h.cloud.WithdrawOrder(id) }, 0, []string{"Normal AwaitingApproval", "Warning Withdrawn"}},
		"nobody decides": {func(*harness, string) error { return nil }, 48 * time.Hour, []string{"Normal AwaitingApproval", "Warning Expired"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := requestWorld(t, newer)
			apply := newRequest("report", forDays(1))
			h.create(apply)
			h.step(apply)
			h.must(tc.do(h, h.order().ID))
			h.lookNow(apply)
			h.step(apply)
			h.advance(tc.then)
			h.step(apply)
			h.step(apply)
			var told []string
			for _, event := range h.drainEvents() {
				told = append(told, strings.Join(strings.Fields(event)[:2], " "))
			}
			if diff := cmp.Diff(tc.want, told); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAStateThatNobodyKnows: what is not understood is not read as granted, and changes nothing that was known.
func TestAStateThatNobodyKnows(t *testing.T) {
	for _, version := range generations {
		for _, first := range []v1alpha1.RequestState{v1alpha1.RequestPending, v1alpha1.RequestGrantFailed} {
			t.Run(fmt.Sprint(version, " after ", first), func(t *testing.T) {
				h := requestWorld(t, version)
				apply := newRequest("report")
				h.create(apply)
				h.step(apply)
				if first == v1alpha1.RequestGrantFailed {
					h.must(h.cloud.FailAuthorisation(h.order().ID, ""))
					h.lookNow(apply)
				}
				h.rewrite = func(body string) string {
					for _, known := range []string{`"FlowStatus":1`, `"FlowStatus":3`} {
						body = strings.ReplaceAll(body, known, `"FlowStatus":7`)
					}
					for _, known := range []string{"WaitApproval", "AuthorizeFailed"} {
						body = strings.ReplaceAll(body, known, "Pondering")
					}
					return body
				}
				h.annotate(apply, v1alpha1.RequestedAtAnnotation, "now")
				h.tryPass(apply)
				found := stored(h, apply)
				if want := string(first) + " False/UnexpectedResponse"; decided(found) != want {
					t.Errorf("got %s, want %s", decided(found), want)
				}
				h.rewrite = nil
				if got := h.lookNow(apply); got.Status.State != first || conditions.ReadyCondition(got).Reason == v1alpha1.ReasonUnexpectedResponse {
					t.Errorf("understood again: %s", decided(got))
				}
			})
		}
	}
}

// TestSeveralOrdersOfOneRequest: tables with different approvers become orders of their own, and the request is what all of them are.
func TestSeveralOrdersOfOneRequest(t *testing.T) {
	approve := func(h *harness, id string) error { return h.cloud.ApproveOrder(id, fakecloud.Approval{}) }
	reject := func(h *harness, id string) error { return h.cloud.RejectOrder(id, "no") }
	fail := func(h *harness, id string) error { return h.cloud.FailAuthorisation(id, "") }
	withdraw := func(h *harness, id string) error { return h.cloud.WithdrawOrder(id) }
	wait := func(*harness, string) error { return nil }
	tests := map[string]struct {
		do   []func(*harness, string) error
		want string
	}{
		"both wait":           {[]func(*harness, string) error{wait, wait}, "Pending False/AwaitingApproval"},
		"one waits still":     {[]func(*harness, string) error{approve, wait}, "Pending False/AwaitingApproval"},
		"one was refused":     {[]func(*harness, string) error{reject, wait}, "Pending False/AwaitingApproval"},
		"both granted":        {[]func(*harness, string) error{approve, approve}, "Granted True/Granted"},
		"one granted":         {[]func(*harness, string) error{approve, reject}, "PartiallyGranted False/PartiallyGranted"},
		"one failed":          {[]func(*harness, string) error{fail, approve}, "PartiallyGranted False/PartiallyGranted"},
		"both rejected":       {[]func(*harness, string) error{reject, reject}, "Rejected False/Rejected"},
		"failed and rejected": {[]func(*harness, string) error{fail, reject}, "GrantFailed False/GrantFailed"},
		"both withdrawn":      {[]func(*harness, string) error{withdraw, withdraw}, "Withdrawn False/Withdrawn"},
	}
	for name, tc := range tests {
		for _, version := range generations {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				h := requestWorld(t, version)
				h.must(h.cloud.SetApprovers(project, "customers", "182293110499999999"))
				apply := newRequest("report", twoTables)
				h.create(apply)
				h.step(apply)
				orders := h.cloud.Orders()
				if len(orders) != 2 {
					t.Fatalf("%d orders", len(orders))
				}
				for i, do := range tc.do {
					h.must(do(h, orders[i].ID))
				}
				if got := decided(h.lookNow(apply)); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
				h.quiet(apply)
			})
		}
	}
}

func twoTables(s *v1alpha1.PermissionApplySpec) {
	s.Objects = append(s.Objects, v1alpha1.ApplyObject{SchemaName: "default", Name: "customers", Actions: []v1alpha1.TableAction{"Select"}})
}

// TestReadyWhenSubmitted: Ready as soon as the request waits, and not any more once it was refused.
func TestReadyWhenSubmitted(t *testing.T) {
	h := requestWorld(t, newer)
	apply := newRequest("report", func(s *v1alpha1.PermissionApplySpec) { s.ReadyWhen = v1alpha1.ReadyWhenSubmitted })
	h.create(apply)
	found, _ := h.step(apply)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSubmitted)
	h.must(h.cloud.RejectOrder(h.order().ID, "no"))
	mustBe(t, h.lookNow(apply), metav1.ConditionFalse, v1alpha1.ReasonRejected)
}

// TestWhatIsAskedFor: columns of a whole table are looked up where the API wants them, and what was asked for is on record.
func TestWhatIsAskedFor(t *testing.T) {
	columns := func(s *v1alpha1.PermissionApplySpec) {
		s.Objects = []v1alpha1.ApplyObject{{SchemaName: "default", Name: "orders", Actions: []v1alpha1.TableAction{"Select", "Drop"}, Columns: []v1alpha1.ApplyColumn{
			{Name: "id"}, {Name: "amount", Actions: []v1alpha1.ColumnAction{"Describe"}},
		}}}
	}
	tests := map[string]struct {
		change  func(*v1alpha1.PermissionApplySpec)
		granted []string
		looked  []string
	}{
		"a whole table": {func(*v1alpha1.PermissionApplySpec) {}, []string{"select", "update"}, []string{"id", "amount", "ds"}},
		"some columns":  {columns, []string{"describe(amount)", "drop", "select(id)"}, nil},
	}
	for name, tc := range tests {
		for _, version := range generations {
			t.Run(name+" "+version, func(t *testing.T) {
				h := requestWorld(t, version)
				apply := newRequest("report", tc.change)
				h.create(apply)
				h.step(apply)
				h.must(h.cloud.ApproveOrder(h.order().ID, fakecloud.Approval{}))
				found := h.lookNow(apply)
				mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonGranted)
				if diff := cmp.Diff(tc.granted, h.permissions(alice)); diff != "" {
					t.Errorf("granted (-want +got):\n%s", diff)
				}
				looked := tc.looked
				if version == newer {
					looked = nil // it is asked for the table as such
				}
				if diff := cmp.Diff(looked, found.Status.Submissions[0].Objects[0].Columns); diff != "" {
					t.Errorf("on record (-want +got):\n%s", diff)
				}
			})
		}
	}
}
