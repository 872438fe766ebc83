package connect_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// connectDataWorks creates a Connection whose DataWorks is in the fake cloud as well.
func (h *harness) connectDataWorks(name, version string, limit *v1alpha1.DataWorksRateLimit) {
	h.t.Helper()
	connection := h.connect(name, "keys")
	spec := connection.Spec.AlibabaCloud
	spec.Endpoints.DataWorks, spec.DataWorksAPIVersion, spec.RateLimits = h.url, version, &v1alpha1.AlibabaCloudRateLimits{DataWorks: limit}
	h.must(h.kube.Update(h.t.Context(), connection))
}

// look reads an order that does not exist, which is a call as good as any.
func (h *harness) look(account *connect.Account) error {
	h.t.Helper()
	c, err := account.DataWorks(account.DataWorksVersion)
	h.must(err)
	_, err = c.Get(h.t.Context(), "00000000-0000-0000-0000-000000000000")
	if cloud.IsNotFound(err) {
		return nil
	}
	return err
}

func TestBothVersionsOfDataWorksAreServed(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.connectDataWorks("prod", "", nil)
	account := h.resolve("prod")
	if account.DataWorksVersion != dataworks.Version2020 || account.DataWorksEndpoint != h.url {
		t.Errorf("version %q at %s", account.DataWorksVersion, account.DataWorksEndpoint)
	}
	for _, version := range []string{dataworks.Version2020, dataworks.Version2024} {
		first, err := account.DataWorks(version)
		h.must(err)
		again, err := account.DataWorks(version)
		h.must(err)
		if first != again || first.Version() != version {
			t.Errorf("version %s: got %s, the same the second time: %v", version, first.Version(), first == again)
		}
		if _, err := first.Get(t.Context(), "00000000-0000-0000-0000-000000000000"); !cloud.IsNotFound(err) {
			t.Errorf("got %v", err)
		}
		if journal := h.cloud.Journal(); len(journal) == 0 || journal[len(journal)-1].Service != "dataworks" || h.last() != "FAKEA" {
			t.Errorf("got %+v", journal)
		}
	}
	_, err := account.DataWorks("2099-01-01")
	if outcome, _ := conditions.OutcomeOf(err); outcome.State != conditions.Stalled || outcome.Reason != v1alpha1.ReasonInvalidSpec {
		t.Errorf("got %v", err)
	}
}

// TestWhereDataWorksIs: what somebody has chosen is checked with the Connection, what follows from the region when it is used.
func TestWhereDataWorksIs(t *testing.T) {
	only := func(suffixes ...string) connect.EndpointPolicy {
		return connect.EndpointPolicy{AllowedSuffixes: suffixes}
	}
	standard := only(connect.DefaultEndpointSuffixes...)
	tests := map[string]struct {
		region, given string
		policy        connect.EndpointPolicy
		want          string
		// reason is why there is no client, connection why there is not even an account.
		reason, connection string
	}{
		"derived":                    {region: "cn-hangzhou", policy: standard, want: "https://dataworks.cn-hangzhou.aliyuncs.com"},
		"given":                      {region: "cn-hangzhou", given: "https://dataworks-vpc.cn-hangzhou.aliyuncs.com", policy: standard, want: "https://dataworks-vpc.cn-hangzhou.aliyuncs.com"},
		"given without a region":     {given: "https://dataworks.aliyuncs.com", policy: standard, want: "https://dataworks.aliyuncs.com"},
		"neither":                    {policy: standard, reason: v1alpha1.ReasonInvalidSpec},
		"derived, and not allowed":   {region: "cn-hangzhou", policy: only("corp.test"), want: "https://dataworks.cn-hangzhou.aliyuncs.com", reason: v1alpha1.ReasonEndpointNotAllowed},
		"given, and not allowed":     {region: "cn-hangzhou", given: "https://dataworks.evil.test", policy: standard, connection: v1alpha1.ReasonEndpointNotAllowed},
		"given as what is derived":   {region: "cn-hangzhou", given: "https://dataworks.cn-hangzhou.aliyuncs.com", policy: only("corp.test"), connection: v1alpha1.ReasonEndpointNotAllowed},
		"a region that leads astray": {region: "evil.test/", policy: standard, want: "https://dataworks.evil.test/.aliyuncs.com", reason: v1alpha1.ReasonEndpointNotAllowed},
		"a region that is a query":   {region: "evil.test?", policy: standard, want: "https://dataworks.evil.test?.aliyuncs.com", reason: v1alpha1.ReasonInvalidSpec},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			seen := &hosts{}
			h.resolver.HTTP, h.resolver.Endpoints = &http.Client{Transport: seen}, tc.policy
			connection := h.connect("prod", "keys")
			connection.Spec.AlibabaCloud.Region = tc.region
			connection.Spec.AlibabaCloud.Endpoints = &v1alpha1.AlibabaCloudEndpoints{MaxCompute: "https://a.aliyuncs.com", ODPS: "https://b.aliyun.com/api", DataWorks: tc.given}
			if tc.policy.AllowedSuffixes[0] == "corp.test" {
				connection.Spec.AlibabaCloud.Endpoints.MaxCompute, connection.Spec.AlibabaCloud.Endpoints.ODPS = "https://a.corp.test", "https://b.corp.test/api"
			}
			account, err := h.resolver.Resolve(t.Context(), connection)
			if outcome, _ := conditions.OutcomeOf(err); outcome.Reason != tc.connection {
				t.Fatalf("the Connection: %v", err)
			}
			if err != nil {
				return
			}
			if account.DataWorksEndpoint != tc.want {
				t.Errorf("endpoint %q, want %q", account.DataWorksEndpoint, tc.want)
			}
			for range 2 {
				c, err := account.DataWorks(dataworks.Version2024)
				outcome, _ := conditions.OutcomeOf(err)
				if outcome.Reason != tc.reason || err != nil && outcome.State != conditions.Stalled {
					t.Fatalf("got %v", err)
				}
				if err == nil {
					_, err = c.Get(t.Context(), "00000000-0000-0000-0000-000000000000")
				}
				if err == nil {
					t.Error("a call succeeded")
				}
			}
			if tc.reason == "" {
				if diff := cmp.Diff([]string{tc.want + "/", tc.want + "/"}, seen.seen); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			} else if len(seen.seen) > 0 {
				t.Errorf("requests to %v", seen.seen)
			}
		})
	}
}

// TestConnectionsShareTheLimitOfDataWorks: whichever versions they name, the service counts their calls together, and the smallest limit holds.
func TestConnectionsShareTheLimitOfDataWorks(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.connectDataWorks("old", dataworks.Version2020, &v1alpha1.DataWorksRateLimit{QPS: 100, Burst: 100, CallsPerDay: 1000})
	h.connectDataWorks("new", dataworks.Version2024, &v1alpha1.DataWorksRateLimit{QPS: 100, Burst: 100, CallsPerDay: 8})
	one, two := h.resolve("old"), h.resolve("new")
	if one == two || one.DataWorksVersion == two.DataWorksVersion {
		t.Fatal("they share an account")
	}
	for i := range 8 {
		if err := h.look([]*connect.Account{one, two}[i%2]); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	for _, account := range []*connect.Account{one, two} {
		e, _ := errors.AsType[*cloud.Error](h.look(account))
		want := &cloud.Error{
			Code: cloud.RemoteUnavailable, Op: "read order 00000000-0000-0000-0000-000000000000", Throttled: true, RetryAfter: 25 * time.Hour,
			Message: "not sent: the budget of 8 calls a day is used up",
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("the error (-want +got):\n%s", diff)
		}
		if got := account.RetryAfterRefusal(); got != 12*time.Hour {
			t.Errorf("%s after a refusal", got)
		}
	}
	if n := len(h.cloud.Journal()); n != 8 {
		t.Errorf("%d calls were made", n)
	}
	// MaxCompute has its own, although it is at the same address.
	h.must(one.MaxCompute.CheckIdentity(t.Context()))
	h.resolver.Forget("new")
	h.must(h.look(one))
	if got := two.RetryAfterRefusal(); got != 5*time.Minute+45*time.Second+600*time.Millisecond {
		t.Errorf("%s after a refusal", got)
	}
}

// TestConnectionsShareTheTurns: the one that is due longest has the turn, whichever Connection it uses, and turns are taken by the clock
// of the Resolver.
func TestConnectionsShareTheTurns(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	limit := &v1alpha1.DataWorksRateLimit{CallsPerDay: 100}
	h.connectDataWorks("old", dataworks.Version2020, limit)
	h.connectDataWorks("new", dataworks.Version2024, limit)
	one, two, due := h.resolve("old"), h.resolve("new"), h.clock.Now()
	step := func(account *connect.Account, uid string, minutes int, want time.Duration) {
		t.Helper()
		if got := account.Turn(types.UID(uid), due.Add(-time.Duration(minutes)*time.Minute)).Round(time.Millisecond); got != want {
			t.Errorf("%s is told %s, want %s", uid, got, want)
		}
	}
	step(one, "a", 1, 24*time.Minute)
	step(two, "b", 2, 24*time.Minute)
	step(one, "a", 1, 48*time.Minute)
	step(two, "c", 3, 24*time.Minute)
	two.Unused("c")
	h.wait(24 * time.Minute)
	step(two, "b", 2, 0)
	one.Unused("b")
	step(one, "a", 1, 24*time.Minute)
}

func TestTheDefaultsOfTheLimitOfDataWorks(t *testing.T) {
	for name, limit := range map[string]*v1alpha1.DataWorksRateLimit{"no limit": nil, "an empty limit": {}} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			h.connectDataWorks("prod", "", limit)
			account := h.resolve("prod")
			for i := range 6 {
				want := time.Duration(0)
				if i >= 4 { // a burst of 4, and half of 4 a second, but never sooner than in a second
					want = time.Second
				}
				if got := account.Turn(types.UID(string(rune('a'+i))), h.clock.Now()); got != want {
					t.Errorf("turn %d: told %s", i, got)
				}
			}
			if got := account.RetryAfterRefusal(); got != 5*time.Minute {
				t.Errorf("%s after a refusal", got)
			}
		})
	}
}

// TestABudgetOutlivesTheConnectionsUse: a Connection that nobody has asked for in a while is dropped, but not what it has used of the budget.
func TestABudgetOutlivesTheConnectionsUse(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.store("other", h.keys("FAKEB"))
	h.connectDataWorks("prod", "", &v1alpha1.DataWorksRateLimit{CallsPerDay: 2})
	h.connect("other", "other")
	first := h.resolve("prod")
	h.must(h.look(first))
	h.must(h.look(first))
	for range 12 {
		h.wait(2 * time.Hour)
		h.resolve("other")
	}
	again := h.resolve("prod")
	if again == first {
		t.Error("the account was kept")
	}
	if err := h.look(again); cloud.CodeOf(err) != cloud.RemoteUnavailable {
		t.Errorf("got %v", err)
	}
	h.wait(time.Hour)
	h.must(h.look(again))
}
