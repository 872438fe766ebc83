package connect

import (
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// TestLimitersGoWithTheirAccounts, those of both services, but not one that knows of calls which count towards a budget, or that somebody
// waits for.
func TestLimitersGoWithTheirAccounts(t *testing.T) {
	fake := clocktesting.NewFakeClock(start)
	r := &Resolver{HTTP: &http.Client{}, Clock: fake}
	resolve := func(uid types.UID, key, version string, perDay int) *Account {
		t.Helper()
		who := alibabaIdentity{
			region: "cn-hangzhou", to: endpoints{maxCompute: "https://cloud.test", odps: "https://cloud.test/api", dataWorks: "https://cloud.test"},
			keys: openapi.Keys{AccessKeyID: key, AccessKeySecret: "fake"}, dataWorksVersion: version,
		}
		limit := rateLimit{qps: 4, burst: 4}
		account, err := r.account(who, rateLimits{maxCompute: limit, dataWorks: rateLimit{qps: 4, burst: 4, perDay: perDay}}, r.source(uid))
		if err != nil {
			t.Fatal(err)
		}
		return account
	}
	check := func(when string, accounts, limiters int) {
		t.Helper()
		if len(r.accounts) != accounts || len(r.limiters) != limiters {
			t.Errorf("%s: %d accounts and %d limiters, want %d and %d", when, len(r.accounts), len(r.limiters), accounts, limiters)
		}
	}
	one, two := resolve("one", "FAKEA", dataworks.Version2020, 10), resolve("two", "FAKEA", dataworks.Version2024, 10)
	check("two versions", 2, 2)
	if one.limiters != two.limiters || one.limiters.maxCompute == one.limiters.dataWorks {
		t.Error("they do not share their limiters, or the services share one")
	}
	resolve("three", "FAKEB", dataworks.Version2020, 0)
	check("another identity", 3, 4)
	r.Forget("three")
	check("without it", 2, 2)
	r.Forget("two")
	check("without one of the two", 1, 2)
	spend(t, one.limiters.dataWorks, t.Context(), 1)
	r.Forget("one")
	check("without both, but with a call", 0, 1)
	fake.Step(24 * time.Hour)
	r.Forget("nobody")
	check("a day later", 0, 1)
	if resolve("one", "FAKEA", dataworks.Version2020, 10).limiters.dataWorks != one.limiters.dataWorks {
		t.Error("the call is forgotten")
	}
	r.Forget("one")
	fake.Step(time.Hour)
	r.Forget("nobody")
	check("when the call does not count any more", 0, 0)
	waited := resolve("one", "FAKEA", dataworks.Version2020, 1)
	waited.Turn("waiter", start)
	r.Forget("one")
	fake.Step(66 * time.Minute)
	r.Forget("nobody")
	check("while somebody waits", 0, 1)
	fake.Step(1)
	r.Forget("nobody")
	check("when he has not come back", 0, 0)
}
