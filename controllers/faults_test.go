package controllers_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// life walks a role through all that can happen to it, checking the cloud after every station: creation with what the create
// body can say and what it cannot, a change of everything, drift of everything, and deletion with a member that somebody else added.
func life(h *harness) {
	h.t.Helper()
	role := newRole("reader", &v1alpha1.RoleACL{Tables: []v1alpha1.TableGrant{
		{SchemaName: "default", Name: "orders", Actions: []string{"Describe", "Select"}},
		{SchemaName: "ods", Name: "raw", Actions: []string{"Select"}},
	}, Packages: []v1alpha1.PackageGrant{{Name: "partner.shared", Actions: []string{"Read"}}}})
	role.Spec.Policy, role.Spec.Members = raw(policyOf("odps:Select", "tables/a")), []string{"RAM$corp:alice", "RAM$corp:bob"}
	h.create(role)
	station := func(name string, want world) {
		h.t.Helper()
		mustBe(h.t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if diff := cmp.Diff(want, h.world("reader")); diff != "" {
			h.t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	station("created", world{
		Grants:  []string{"package default.partner.shared: read", "table default.orders: describe select", "table ods.raw: select"},
		Members: []string{"RAM$corp:alice", "RAM$corp:bob"}, Policy: []string{"tables/a"},
	})

	h.edit(role, func(r *v1alpha1.ProjectRole) {
		r.Spec.ACL.Tables[0].Actions = []string{"Select", "Update"}
		r.Spec.ACL.Functions = []v1alpha1.FunctionGrant{{SchemaName: "default", Name: "mask", Actions: []string{"Execute"}}}
		r.Spec.ACL.Tables, r.Spec.ACL.Packages = r.Spec.ACL.Tables[:1], nil
		r.Spec.Policy, r.Spec.Members = raw(policyOf("odps:Select", "tables/b")), []string{"RAM$corp:bob", "RAM$corp:carol"}
	})
	changed := world{
		Grants:  []string{"function default.mask: execute", "table default.orders: select update"},
		Members: []string{"RAM$corp:bob", "RAM$corp:carol"}, Policy: []string{"tables/b"},
	}
	station("changed", changed)

	h.must(h.cloud.Revoke(project, "reader", fakecloud.Grant{Kind: "function", Name: "mask", Actions: []string{"Execute"}}))
	h.must(h.cloud.RemoveMembers(project, "reader", "RAM$corp:carol"))
	h.must(h.cloud.SetPolicy(project, "reader", policyOf("odps:Drop", "tables/c")))
	// A stale read can hide the drift from one look, or from several; it is found at the first that sees the present.
	for range 3 {
		h.settle(role)
	}
	station("drift corrected", changed)

	h.must(h.cloud.AddMembers(project, "reader", "RAM$corp:stranger"))
	h.delete(role)
	if left := h.settle(role); left != nil || h.cloud.RoleExists(project, "reader") {
		h.t.Errorf("after the deletion: object %s, role exists: %v", describe(left), h.cloud.RoleExists(project, "reader"))
	}
}

// lives are what every kind goes through.
var lives = map[string]func(*harness){
	"role": life, "package": packageLife, "installation": installationLife, "request": requestLife(old), "request of 2024": requestLife(newer),
}

// callsOfALife is how many calls a life makes without faults, and how many writes to the API server.
func callsOfALife(t *testing.T, life func(*harness)) (calls int, writes int) {
	t.Helper()
	h := newHarness(t)
	life(h)
	return int(h.calls.Load()), h.writes
}

// transientFaults are what can go wrong once with any call.
var transientFaults = map[string]fakecloud.Fault{
	"throttled":                     {Kind: fakecloud.FaultThrottle},
	"throttled by the resource":     {Kind: fakecloud.FaultThrottle, Code: "Throttling.Resource", Status: 503},
	"rejected for throttling":       {Kind: fakecloud.FaultThrottle, Code: "Rejected.Throttling", Status: 400},
	"server error":                  {Kind: fakecloud.FaultServerError},
	"HTML page of a proxy":          {Kind: fakecloud.FaultHTML502},
	"HTML 404 of another server":    {Kind: fakecloud.FaultWrongEndpoint},
	"JSON 404 without a code":       {Kind: fakecloud.FaultWrongEndpoint, Body: fakecloud.BodyJSON},
	"lost before the call":          {Kind: fakecloud.FaultDropBefore},
	"reply lost":                    {Kind: fakecloud.FaultDropAfter},
	"error inside HTTP 200":         {Kind: fakecloud.FaultErrorInside},
	"access denied":                 {Kind: fakecloud.FaultAccessDenied},
	"reply cut short":               {Kind: fakecloud.FaultGarbled},
	"reply of another kind":         {Kind: fakecloud.FaultGarbled, Body: fakecloud.BodyWrongKind},
	"no answer":                     {Kind: fakecloud.FaultTimeout},
	"latency":                       {Kind: fakecloud.FaultLatency, Latency: time.Millisecond},
	"asynchronous":                  {Kind: fakecloud.FaultAsync, Service: "odps", Polls: 3},
	"asynchronous, ends in failure": {Kind: fakecloud.FaultAsync, Service: "odps", Polls: 2, Outcome: "FAILED"},
	"stale reads":                   {Kind: fakecloud.FaultStaleRead, StaleWrites: 1},
	"reads two writes behind":       {Kind: fakecloud.FaultStaleRead, StaleWrites: 2},
}

func TestEveryFaultAtEveryCall(t *testing.T) {
	for whose, life := range lives {
		calls, _ := callsOfALife(t, life)
		for name, fault := range transientFaults {
			t.Run(whose+", "+name, func(t *testing.T) {
				t.Parallel()
				for at := range calls {
					withFault(t, life, fault, at, 1)
					if at%3 == 0 { // every call is among some three
						withFault(t, life, fault, at, 3)
					}
				}
			})
		}
	}
}

// withFault goes through a life in which a fault meets some calls after a number of others.
func withFault(t *testing.T, life func(*harness), fault fakecloud.Fault, after, times int) {
	t.Helper()
	h := newHarness(t)
	if fault.Kind == fakecloud.FaultTimeout {
		h.timeout = 150 * time.Millisecond
		h.restart()
	}
	fault.After, fault.Times = after, times
	h.cloud.Inject(fault)
	life(h)
	if t.Failed() {
		t.Fatalf("after %d calls, %d times", after, times)
	}
}

func TestCrashAtEveryCall(t *testing.T) {
	for whose, life := range lives {
		t.Run(whose, func(t *testing.T) { crashAtEveryCall(t, life) })
	}
}

func crashAtEveryCall(t *testing.T, life func(*harness)) {
	calls, _ := callsOfALife(t, life)
	for at := int64(1); at <= int64(calls); at++ {
		for _, before := range []bool{true, false} {
			h := newHarness(t)
			h.crash = func(call int64, b bool) {
				if call == at && b == before {
					panic(errCrashed)
				}
			}
			life(h)
			if t.Failed() {
				t.Fatalf("at call %d, before %v", at, before)
			}
		}
	}
}

func TestCrashAndConflictAtEveryAPIWrite(t *testing.T) {
	for whose, life := range lives {
		t.Run(whose, func(t *testing.T) { failAtEveryAPIWrite(t, life) })
	}
}

func failAtEveryAPIWrite(t *testing.T, life func(*harness)) {
	_, writes := callsOfALife(t, life)
	fail := map[string]func() error{
		"crash": func() error { panic(errCrashed) },
		"conflict": func() error {
			return apierrors.NewConflict(schema.GroupResource{}, "reader", errors.New("changed by somebody else"))
		},
		"server gone": func() error { return errors.New("the API server does not answer") },
	}
	for name, failure := range fail {
		t.Run(name, func(t *testing.T) {
			for at := 1; at <= writes; at++ {
				for _, before := range []bool{true, false} {
					h := newHarness(t)
					hook := func(n int) error {
						if n == at {
							return failure()
						}
						return nil
					}
					if before {
						h.beforeWrite = hook
					} else {
						h.afterWrite = hook
					}
					life(h)
					if t.Failed() {
						t.Fatalf("at API write %d, before %v", at, before)
					}
				}
			}
		})
	}
}

// TestManyFaultsAtOnce mixes faults and crashes at random.
func TestManyFaultsAtOnce(t *testing.T) {
	names, kinds := keysOf(transientFaults), keysOf(lives)
	for seed := range uint64(150) {
		life := lives[kinds[seed%uint64(len(kinds))]]
		r := rand.New(rand.NewPCG(seed, 7))
		h := newHarness(t)
		h.timeout = 150 * time.Millisecond
		h.restart()
		var plan []string
		for range 1 + r.IntN(4) {
			name := names[r.IntN(len(names))]
			f := transientFaults[name]
			f.After, f.Times = r.IntN(15), 1+r.IntN(2)
			plan = append(plan, fmt.Sprintf("%s after %d calls, %d times", name, f.After, f.Times))
			h.cloud.Inject(f)
		}
		crashAt := int64(1 + r.IntN(20))
		h.crash = func(call int64, before bool) {
			if call == crashAt && !before {
				panic(errCrashed)
			}
		}
		life(h)
		if t.Failed() {
			t.Fatalf("seed %d: crash after call %d; %s", seed, crashAt, strings.Join(plan, "; "))
		}
	}
}

// lastingFaults are what a user can meet for a while, and what the object must say then.
var lastingFaults = map[string]struct {
	fault  fakecloud.Fault
	reason string
}{
	"access denied":              {fakecloud.Fault{Kind: fakecloud.FaultAccessDenied}, v1alpha1.ReasonPermissionDenied},
	"HTML 404 of another server": {fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint}, v1alpha1.ReasonUnexpectedResponse},
	"JSON 404 without a code":    {fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint, Body: fakecloud.BodyJSON}, v1alpha1.ReasonUnexpectedResponse},
	"HTML page of a proxy":       {fakecloud.Fault{Kind: fakecloud.FaultHTML502}, v1alpha1.ReasonRemoteUnavailable},
	"no answer":                  {fakecloud.Fault{Kind: fakecloud.FaultTimeout}, v1alpha1.ReasonRemoteUnavailable},
	"connection lost":            {fakecloud.Fault{Kind: fakecloud.FaultDropBefore}, v1alpha1.ReasonRemoteUnavailable},
	"throttled":                  {fakecloud.Fault{Kind: fakecloud.FaultThrottle}, v1alpha1.ReasonRemoteUnavailable},
	"throttled with a delay":     {fakecloud.Fault{Kind: fakecloud.FaultThrottle, RetryAfter: "7"}, v1alpha1.ReasonRemoteUnavailable},
	"a list cut short":           {fakecloud.Fault{Kind: fakecloud.FaultGarbled}, v1alpha1.ReasonUnexpectedResponse},
	"a list of another kind":     {fakecloud.Fault{Kind: fakecloud.FaultGarbled, Body: fakecloud.BodyWrongKind}, v1alpha1.ReasonUnexpectedResponse},
	"an error inside HTTP 200":   {fakecloud.Fault{Kind: fakecloud.FaultErrorInside, Code: "040017"}, v1alpha1.ReasonUnexpectedResponse},
	"project missing":            {fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "PROJECT_NOT_FOUND", Message: "project not found"}, v1alpha1.ReasonProjectNotFound},
	"credentials refused":        {fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "InvalidAccessKeyId.NotFound", Message: "Specified access key is not found."}, v1alpha1.ReasonAuthenticationFailed},
	"request refused":            {fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "ODPS-0420061", Message: "Invalid parameter"}, v1alpha1.ReasonRemoteRejected},
}

func TestNoFaultIsReadAsAbsence(t *testing.T) {
	for name, tc := range lastingFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.timeout = 300 * time.Millisecond
			h.restart()
			settled := newRole("settled", tables("Select"))
			h.create(settled)
			h.settle(settled)
			fresh := newRole("fresh", tables("Select"))
			h.create(fresh)

			fault := tc.fault
			fault.Only = "reads"
			h.cloud.Inject(fault)
			h.restart()
			writes := len(h.cloud.Writes())
			for _, role := range []*v1alpha1.ProjectRole{fresh, settled} {
				h.failTwice(role, tc.reason)
			}
			if err := h.kube.Delete(t.Context(), settled); err != nil {
				t.Fatal(err)
			}
			h.failTwice(settled, tc.reason)
			if !controllerutil.ContainsFinalizer(h.get(settled), v1alpha1.Finalizer) || !h.cloud.RoleExists(project, "settled") {
				t.Error("the deletion was taken for done")
			}
			if n := len(h.cloud.Writes()) - writes; n > 0 {
				t.Errorf("%d cloud writes on the strength of a fault", n)
			}
			h.cloud.ClearFaults()
			h.restart()
			mustBe(t, h.settle(fresh), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if h.settle(settled) != nil || h.cloud.RoleExists(project, "settled") {
				t.Error("the deletion did not end after the fault was gone")
			}
		})
	}
}

// failTwice makes two failing passes and asserts the reason, that the second changes nothing, and that a failure is told once.
func (h *harness) failTwice(role *v1alpha1.ProjectRole, reason string) {
	h.t.Helper()
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	first := h.get(role)
	mustBe(h.t, first, metav1.ConditionFalse, reason)
	warnings := len(h.events.Events)
	result, err := h.pass(role)
	if err == nil && result.RequeueAfter == 0 {
		h.t.Error("nothing will try again")
	}
	second := h.get(role)
	if diff := cmp.Diff(first.Status.Conditions, second.Status.Conditions); diff != "" || first.ResourceVersion != second.ResourceVersion {
		h.t.Errorf("the same failure changed the object:\n%s", diff)
	}
	if len(h.events.Events) != warnings {
		h.t.Error("the same failure was told twice")
	}
	if len(conditions.ReadyCondition(second).Message) < 20 {
		h.t.Errorf("a message that says little: %s", describe(second))
	}
}

// TestLostReplyThenSomebodyElsesRole shows that an unfinished create is not taken for a role that may be somebody else's.
func TestLostReplyThenSomebodyElsesRole(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropBefore, Action: "CreateRole", Times: 1})
	_, _ = h.pass(role) //nolint:errcheck // the reply is lost
	if got := h.get(role); !got.Status.Creating || got.Status.Created {
		t.Fatalf("the create is not known to be open: %+v", got.Status)
	}
	if err := h.cloud.CreateRole(project, "reader", "resource"); err != nil {
		t.Fatal(err)
	}
	if err := h.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: "theirs", Actions: []string{"Select"}}); err != nil {
		t.Fatal(err)
	}
	mustBe(t, h.settle(role), metav1.ConditionFalse, v1alpha1.ReasonCreateResultUnknown)
	if diff := cmp.Diff([]string{"table default.theirs: select"}, h.granted("reader")); diff != "" {
		t.Errorf("somebody else's role was touched:\n%s", diff)
	}
}

func keysOf[V any](m map[string]V) []string {
	set := map[string]bool{}
	for k := range m {
		set[k] = true
	}
	return keys(set)
}

// TestRefusedCreateIsToldOnce: a create that is refused again and again looks the same to a user all the time.
func TestRefusedCreateIsToldOnce(t *testing.T) {
	for name, tc := range lastingFaults {
		if tc.fault.Kind == fakecloud.FaultGarbled {
			continue // spoils the answer to a create that was made
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.timeout = 300 * time.Millisecond
			h.restart()
			role := newRole("reader", tables("Select"))
			h.create(role)
			fault := tc.fault
			fault.Only = "writes"
			h.cloud.Inject(fault)
			_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
			first, warnings := h.get(role), len(h.events.Events)
			mustBe(t, first, metav1.ConditionFalse, tc.reason)
			_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
			second := h.get(role)
			if diff := cmp.Diff(first.Status, second.Status); diff != "" {
				t.Errorf("the same failure changed the status:\n%s", diff)
			}
			if len(h.events.Events) != warnings {
				t.Error("the same failure was told twice")
			}
			h.cloud.ClearFaults()
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		})
	}
}
