package controllers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// limitCalls changes the Connection's budget of calls.
func (h *harness) limitCalls(perDay int32) {
	h.t.Helper()
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.RateLimits.DataWorks.CallsPerDay = perDay })
}

// schedule makes passes over requests, each when it asked to be looked at, for some time.
type schedule struct {
	h     *harness
	items []*v1alpha1.PermissionApply
	at    []time.Time
	// passes counts them.
	passes int
}

func (h *harness) schedule(items []*v1alpha1.PermissionApply) *schedule {
	s := &schedule{h: h, items: items}
	for range items {
		s.at = append(s.at, h.clock.Now())
	}
	return s
}

func (s *schedule) run(d time.Duration) {
	s.h.t.Helper()
	for end := s.h.clock.Now().Add(d); ; {
		next := 0
		for i := range s.at {
			if s.at[i].Before(s.at[next]) {
				next = i
			}
		}
		if s.at[next].After(end) {
			s.h.advance(max(end.Sub(s.h.clock.Now()), 0))
			return
		}
		s.h.advance(max(s.at[next].Sub(s.h.clock.Now()), 0))
		result, err := s.h.pass(s.items[next])
		s.passes++
		if err != nil {
			s.h.t.Fatal(err)
		}
		s.at[next] = s.h.clock.Now().Add(result.RequeueAfter)
		if result.RequeueAfter == 0 {
			s.at[next] = end.Add(365 * 24 * time.Hour)
		}
	}
}

// looks lists the orders that were looked at, in order, and when, by the cloud's clock.
func (h *harness) looks() (ids []string, calls []time.Time) {
	for _, e := range h.cloud.Journal() {
		if e.Service != "dataworks" {
			continue
		}
		calls = append(calls, e.Time)
		if e.Order != "" && !e.Write {
			ids = append(ids, e.Order)
		}
	}
	return ids, calls
}

// TestFiveHundredRequestsOnASmallBudget: of 100 calls a day no more are made, whoever waits; who has waited longest is looked at first, and
// what somebody asks for has calls left. A new process spends no more.
func TestFiveHundredRequestsOnASmallBudget(t *testing.T) {
	const perDay, days = 100, 2
	h := requestWorld(t, newer)
	var items []*v1alpha1.PermissionApply
	for i := range 500 {
		items = append(items, h.submitted(fmt.Sprintf("report-%d", i)))
		h.advance(time.Second)
	}
	oldest := h.orderOf(items[0])
	h.limitCalls(perDay)
	h.restart()
	// What it had been told before does not count for a new process.
	h.advance(26 * time.Hour)
	h.cloud.ResetJournal()
	s := h.schedule(items)
	for day := range days {
		s.run(12 * time.Hour)
		if day == 0 {
			h.restart()
		}
		h.must(h.cloud.ApproveOrder(h.orderOf(items[400+day]), fakecloud.Approval{}))
		mustBe(t, h.lookNow(items[400+day]), metav1.ConditionTrue, v1alpha1.ReasonGranted)
		s.run(12 * time.Hour)
	}
	ids, calls := h.looks()
	t.Logf("%d calls in %d days, %d passes", len(calls), days, s.passes)
	for i, at := range calls {
		within := 0
		for _, later := range calls[i:] {
			if later.Sub(at) < 24*time.Hour {
				within++
			}
		}
		if within > perDay {
			t.Fatalf("%d calls in the 24 hours from %s", within, at)
		}
	}
	if len(calls) < days*perDay/3 {
		t.Errorf("%d calls, which wastes the budget", len(calls))
	}
	if i := slices.Index(ids, oldest); i < 0 || i > 2 {
		t.Errorf("the oldest order was looked at as number %d of %d", i+1, len(ids))
	}
}

// TestLooksBecomeRarer: from a minute to hours by the age of the order, or as often as the spec says.
func TestLooksBecomeRarer(t *testing.T) {
	for name, tc := range map[string]struct {
		interval time.Duration
		gaps     map[time.Duration]time.Duration // by the age of the order
	}{
		"by itself":      {0, map[time.Duration]time.Duration{2 * time.Minute: time.Minute, time.Hour: 6 * time.Minute, 10 * time.Hour: time.Hour, 200 * time.Hour: 4 * time.Hour}},
		"as often as so": {30 * time.Minute, map[time.Duration]time.Duration{2 * time.Minute: time.Minute, time.Hour: 6 * time.Minute, 200 * time.Hour: 30 * time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, old)
			apply := h.submitted("report", func(s *v1alpha1.PermissionApplySpec) {
				if tc.interval > 0 {
					s.Interval = &metav1.Duration{Duration: tc.interval}
				}
			})
			began := h.clock.Now()
			h.schedule([]*v1alpha1.PermissionApply{apply}).run(210 * time.Hour)
			_, calls := h.looks()
			for age, want := range tc.gaps {
				i := slices.IndexFunc(calls, func(at time.Time) bool { return at.After(began.Add(age)) })
				if gap := calls[i+1].Sub(calls[i]); gap < want*8/10 || gap > want*15/10 {
					t.Errorf("at the age of %s: %s between two looks, want about %s", age, gap, want)
				}
			}
		})
	}
}

// TestAskingForALook: it is made at once, and the next ones as before.
func TestAskingForALook(t *testing.T) {
	h := requestWorld(t, old)
	apply := h.submitted("report")
	calls := h.calls.Load()
	found := h.lookNow(apply)
	if n := h.calls.Load() - calls; n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if found.Status.LastHandledReconcileAt == "" {
		t.Error("the annotation was not echoed")
	}
	h.quiet(apply)
}

// TestALookThatFails leaves the state, says so, and goes on saying so until the next look.
func TestALookThatFails(t *testing.T) {
	h := requestWorld(t, old)
	apply := h.submitted("report")
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Service: "dataworks", Times: 1})
	h.advance(2 * time.Minute)
	result, err := h.pass(apply)
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("again after %s, %v", result.RequeueAfter, err)
	}
	if got := decided(stored(h, apply)); got != "Pending False/RemoteUnavailable" {
		t.Errorf("got %s", got)
	}
	h.quiet(apply)
	if got := decided(stored(h, apply)); got != "Pending False/RemoteUnavailable" {
		t.Errorf("between two looks: %s", got)
	}
	h.advance(result.RequeueAfter + time.Second)
	if found, _ := h.step(apply); decided(found) != "Pending False/AwaitingApproval" {
		t.Errorf("after the next look: %s", decided(found))
	}
}

// TestAskingForALookThatFails leaves a decided request as it was before, after the failure was told.
func TestAskingForALookThatFails(t *testing.T) {
	h := requestWorld(t, old)
	apply := h.submitted("report")
	h.must(h.cloud.RejectOrder(h.orderOf(apply), "no"))
	h.lookNow(apply)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Service: "dataworks", Times: 1})
	h.annotate(apply, v1alpha1.RequestedAtAnnotation, "again")
	if result, err := h.pass(apply); err == nil && result.RequeueAfter == 0 {
		t.Error("the failure is the last word")
	}
	for range 2 {
		h.tryPass(apply)
	}
	if got := decided(stored(h, apply)); got != "Rejected False/Rejected" {
		t.Errorf("got %s", got)
	}
}

// TestALookThatWasAskedForWhileTheConnectionWasAway: asking for a look is handled when there was one. Without a connection there is none,
// and the order is read as soon as the connection is back.
func TestALookThatWasAskedForWhileTheConnectionWasAway(t *testing.T) {
	h := requestWorld(t, newer)
	apply := h.submitted("report", select1)
	h.advance(5 * days)
	h.step(apply)
	h.must(h.cloud.ApproveOrder(h.orderOf(apply), fakecloud.Approval{}))
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = "http://127.0.0.1:1" })
	h.annotate(apply, v1alpha1.RequestedAtAnnotation, "now")
	h.passAnyway(apply)
	mustBe(t, stored(h, apply), metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.DataWorks = h.url })
	for range 3 {
		h.passAnyway(apply)
		h.advance(time.Minute)
	}
	mustBe(t, stored(h, apply), metav1.ConditionTrue, v1alpha1.ReasonGranted)
}
