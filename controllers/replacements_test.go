package controllers_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestAnInterruptedReplacementLosesNothingOfOthers, whatever becomes of the object then.
func TestAnInterruptedReplacementLosesNothingOfOthers(t *testing.T) {
	tests := map[string]struct {
		spec       []string
		management v1alpha1.ManagementPolicy
		// then is what happens after the interruption, and after what is left.
		then  func(h *harness, pkg *v1alpha1.MaxComputePackage)
		after []string
	}{
		"additive":             {[]string{"Describe"}, v1alpha1.ManagementAdditive, nil, []string{"table default.a: describe select"}},
		"additive, deleted":    {[]string{"Describe"}, v1alpha1.ManagementAdditive, deleted, []string{"table default.a: select"}},
		"adopted and deleted":  {[]string{"Describe", "Select"}, v1alpha1.ManagementAuthoritative, deleted, []string{"table default.a: select"}},
		"not managed any more": {[]string{"Describe", "Select"}, v1alpha1.ManagementAuthoritative, unmanaged, []string{"table default.a: select"}},
		"not listed any more": {[]string{"Describe"}, v1alpha1.ManagementAdditive, func(h *harness, pkg *v1alpha1.MaxComputePackage) {
			edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = &v1alpha1.PackageResources{} })
		}, []string{"table default.a: select"}},
	}
	for name, tc := range tests {
		for _, settledFirst := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", settled first: ", settledFirst), func(t *testing.T) {
				h := newHarness(t)
				h.theirPackage(selectA)
				pkg := newPackage("pkg", ofTables(table("a", tc.spec...)))
				pkg.Spec.ManagementPolicy, pkg.Spec.AdoptionPolicy = tc.management, v1alpha1.AdoptionAdopt
				h.create(pkg)
				h.cloud.Inject(outage)
				h.passes(pkg, 1)
				if got := h.held(); len(got.Grants) != 0 {
					t.Fatalf("not interrupted: %v", got)
				}
				if settledFirst {
					settled(h, pkg)
				}
				if tc.then != nil {
					tc.then(h, pkg)
				}
				settled(h, pkg)
				h.mustShare(held{Grants: tc.after})
			})
		}
	}
}

func deleted(h *harness, pkg *v1alpha1.MaxComputePackage) { h.delete(pkg) }

func unmanaged(h *harness, pkg *v1alpha1.MaxComputePackage) {
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = nil })
}

// TestACrashAnywhereKeepsWhatIsTheirs goes through the life of an additive, adopted package that owns parts of entries and a label.
func TestACrashAnywhereKeepsWhatIsTheirs(t *testing.T) {
	calls := int64(1)
	for at := int64(1); at <= calls; at++ {
		for _, before := range []bool{true, false} {
			h := newHarness(t)
			h.theirPackage(selectA, fakecloud.Grant{Kind: "table", Name: "x", Actions: []string{"Update"}})
			h.must(h.cloud.AllowProject(project, "pkg", "friend", 3))
			h.must(h.cloud.AllowProject(project, "pkg", "buddy", 1))
			pkg := newPackage("pkg", ofTables(table("a", "Describe"), table("x", "Select")), allow("partner", 0), allow("buddy", 2))
			pkg.Spec.ManagementPolicy, pkg.Spec.AdoptionPolicy = v1alpha1.ManagementAdditive, v1alpha1.AdoptionAdopt
			first := h.calls.Load()
			h.crash = func(call int64, b bool) {
				if call == first+at && b == before {
					panic(errCrashed)
				}
			}
			h.create(pkg)
			settled(h, pkg)
			edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("a", "Alter")) })
			settled(h, pkg)
			h.delete(pkg)
			settled(h, pkg)
			calls = max(calls, h.calls.Load()-first)
			h.mustShare(held{Grants: []string{"table default.a: select", "table default.x: update"}, Allowed: []string{"buddy 1", "friend 3"}})
			if t.Failed() {
				t.Fatalf("at call %d, before %v", at, before)
			}
		}
	}
}

// TestAStaleReadAfterAReplacementMakesNothingOurs.
func TestAStaleReadAfterAReplacementMakesNothingOurs(t *testing.T) {
	h := newHarness(t)
	h.theirPackage(selectA)
	pkg := newPackage("pkg", ofTables(table("a", "Describe", "Select")))
	pkg.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(pkg)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, StaleWrites: 1, Action: "GetPackage", After: 1, Times: 1})
	settled(h, pkg)
	h.delete(pkg)
	settled(h, pkg)
	h.mustShare(held{Grants: []string{"table default.a: select"}})
}

// TestAnIdentityThatMayRemoveAndNotAdd takes out one entry, says so, and takes out no other.
func TestAnIdentityThatMayRemoveAndNotAdd(t *testing.T) {
	h := newHarness(t)
	tables := func(actions ...string) *v1alpha1.PackageResources {
		r := &v1alpha1.PackageResources{}
		for i := range 40 {
			r.Tables = append(r.Tables, table(fmt.Sprintf("t_%d", i), actions...))
		}
		return r
	}
	pkg := newPackage("pkg", tables("Select"))
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = tables("Describe", "Select") })
	h.rewire(h.kube, func(r *http.Request) (*http.Response, error) {
		if r.Body == nil {
			return nil, nil
		}
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err != nil || !bytes.HasPrefix(body, []byte(`{"add"`)) {
			return nil, err
		}
		refusal := answer(r, `{"requestId":"x","errorCode":"ODPS-0420095","errorMsg":"Access Denied - [4019] You have NO privilege"}`)
		refusal.StatusCode = http.StatusForbidden
		return refusal, nil
	})
	h.passes(pkg, 8)
	got := stored(h, pkg)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPermissionDenied)
	if n := len(h.held().Grants); n != 39 || !strings.Contains(describe(got), "is out of the package") {
		t.Errorf("%d of 40 entries are left; %s", n, describe(got))
	}
	h.restart()
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if n := len(h.held().Grants); n != 40 {
		t.Errorf("%d of 40 entries in the end", n)
	}
}

// TestWhatAnEntryOnceHadDoesNotComeBack when it has to be added later, and that is refused.
func TestWhatAnEntryOnceHadDoesNotComeBack(t *testing.T) {
	h := newHarness(t)
	h.cloud.SetPackageStyle(fakecloud.PackageStyle{Relabel: fakecloud.RelabelRefuse})
	pkg := newPackage("pkg", ofTables(table("a", "Select", "Drop")), allow("partner", 9))
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
		p.Spec.Resources, p.Spec.AllowedProjects = ofTables(table("a", "Select")), []v1alpha1.AllowedProject{allow("partner", 0)}
	})
	if got := settled(h, pkg); len(got.Status.Replacements) != 2 {
		t.Fatalf("replacements: %v", got.Status.Replacements)
	}
	for _, drift := range []error{h.cloud.RemoveFromPackage(project, "pkg", selectA), h.cloud.DisallowProject(project, "pkg", "partner")} {
		h.must(drift)
		h.cloud.Inject(busy)
		h.cloud.ResetJournal()
		settled(h, pkg)
		for _, entry := range h.cloud.Journal() {
			for _, c := range entry.Changes {
				if slices.Contains(c.Actions, "drop") || c.Label == 9 {
					t.Errorf("came back: %+v", c)
				}
			}
		}
	}
	h.mustShare(held{Grants: []string{"table default.a: select"}, Allowed: []string{"partner 0"}})
}

// TestTheSpecChangesWhileAnEntryIsOut, and the service does not take that either: the entry is put back as it was.
func TestTheSpecChangesWhileAnEntryIsOut(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("a", "Select")))
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("a", "Select", "Update")) })
	h.cloud.Inject(outage)
	h.passes(pkg, 1)
	h.cloud.ClearFaults()
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("a", "Select", "Drop")) })
	h.cloud.Inject(busy)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "ODPS-0420061", Message: "busy", Action: "UpdatePackage", After: 2, Times: 1000})
	h.passes(pkg, 1)
	h.mustShare(held{Grants: []string{"table default.a: select"}})
}

// TestAReplacementThatWasRefusedOnce is in the status all the same.
func TestAReplacementThatWasRefusedOnce(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("a", "Select")))
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("a", "Describe", "Select")) })
	refusal := busy
	refusal.After = 1
	h.cloud.Inject(refusal)
	got := settled(h, pkg)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if r := got.Status.Replacements; len(r) != 1 || r[0].Refusals != 0 || r[0].UnderWay {
		t.Errorf("replacements: %+v", r)
	}
}

// TestADroppedTableThatWasReplacedOnce changes nothing from pass to pass while it is missing.
func TestADroppedTableThatWasReplacedOnce(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.SetStrict(project, true))
	h.must(h.cloud.DeclareObject(project, "table", "default", "a"))
	pkg := newPackage("pkg", ofTables(table("a", "Select")))
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("a", "Describe", "Select")) })
	settled(h, pkg)
	h.must(h.cloud.DropObject(project, "table", "default", "a"))
	h.passes(pkg, 2)
	first := stored(h, pkg)
	mustBe(t, first, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := describe(first); !strings.Contains(message, "1 left") {
		t.Error(message)
	}
	h.passes(pkg, 3)
	if got := stored(h, pkg); got.ResourceVersion != first.ResourceVersion {
		t.Errorf("the same failure changed the object: %+v", got.Status)
	}
}

// TestStatusThatSomebodyHasEdited does not end the operator.
func TestStatusThatSomebodyHasEdited(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("a", "Select")), allow("partner", 0))
	h.create(pkg)
	settled(h, pkg)
	found := stored(h, pkg)
	found.Status.Replacements = []v1alpha1.Replacement{
		{Kind: "AllowedProject", Name: "partner", Refusals: 1}, {Kind: "Table", Name: "a", UnderWay: true}, {Kind: "", Name: "", UnderWay: true, Refusals: 9},
	}
	h.must(h.kube.Status().Update(t.Context(), found))
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(held{Grants: []string{"table default.a: select"}, Allowed: []string{"partner 0"}})
}

// TestRefusedReplacementsEnd: after three attempts nothing is taken out any more, whoever else's the entry is, and whatever a label is
// refused by.
func TestRefusedReplacementsEnd(t *testing.T) {
	count := func(h *harness, change string) (n int) {
		for _, c := range h.changesOf() {
			if c == change {
				n++
			}
		}
		return n
	}
	t.Run("an entry with actions of somebody else's", func(t *testing.T) {
		h := newHarness(t)
		h.theirPackage(selectA)
		pkg := newPackage("pkg", ofTables(table("a", "Describe")))
		pkg.Spec.ManagementPolicy, pkg.Spec.AdoptionPolicy = v1alpha1.ManagementAdditive, v1alpha1.AdoptionAdopt
		h.create(pkg)
		h.refusing(func(_ *http.Request, body string) bool {
			return strings.HasPrefix(body, `{"add"`) && strings.Contains(body, "describe")
		})
		h.passes(pkg, 8)
		if n := count(h, "removeResource table a"); n != 3 {
			t.Errorf("taken out %d times", n)
		}
		h.mustShare(held{Grants: []string{"table default.a: select"}})
	})
	t.Run("a label that is ignored in place", func(t *testing.T) {
		h := newHarness(t)
		h.cloud.SetPackageStyle(fakecloud.PackageStyle{Relabel: fakecloud.RelabelIgnore})
		pkg := newPackage("pkg", nil, allow("partner", 1))
		h.create(pkg)
		settled(h, pkg)
		edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.AllowedProjects[0].Label = 3 })
		h.refusing(func(_ *http.Request, body string) bool {
			return len(h.held().Allowed) == 0 && strings.HasPrefix(body, `{"add"`) && strings.Contains(body, `"3"`)
		})
		h.passes(pkg, 12)
		if n := count(h, "disallowProject partner"); n > 3 {
			t.Errorf("disallowed %d times", n)
		}
		h.mustShare(held{Allowed: []string{"partner 1"}})
	})
}

// TestARecordEndsWithTheWish: an entry that was out and is not wanted any more is nobody's business if somebody else adds it later.
func TestARecordEndsWithTheWish(t *testing.T) {
	wishes := map[string]func(p *v1alpha1.MaxComputePackage){
		"nothing listed": func(p *v1alpha1.MaxComputePackage) {
			p.Spec.ManagementPolicy, p.Spec.Resources = v1alpha1.ManagementAdditive, &v1alpha1.PackageResources{}
		},
		"not managed": func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = nil },
	}
	for name, wish := range wishes {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			pkg := newPackage("pkg", ofTables(table("a", "Select")))
			h.create(pkg)
			settled(h, pkg)
			edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("a", "Select", "Describe")) })
			h.cloud.Inject(outage)
			h.passes(pkg, 1)
			edited(h, pkg, wish)
			settled(h, pkg)
			h.clock.ahead.Add(int64(10 * time.Minute))
			got := settled(h, pkg)
			if len(got.Status.Replacements) > 0 || len(got.Status.Applied) > 0 {
				t.Errorf("%+v, %+v", got.Status.Replacements, got.Status.Applied)
			}
			h.must(h.cloud.AddToPackage(project, "pkg", selectA))
			settled(h, pkg)
			h.mustShare(held{Grants: []string{"table default.a: select"}})
		})
	}
}

// TestADroppedPackageBeginsAnew, without what somebody else had in the one before.
func TestADroppedPackageBeginsAnew(t *testing.T) {
	h := newHarness(t)
	h.theirPackage(selectA)
	pkg := newPackage("pkg", ofTables(table("a", "Describe")))
	pkg.Spec.ManagementPolicy, pkg.Spec.AdoptionPolicy = v1alpha1.ManagementAdditive, v1alpha1.AdoptionAdopt
	h.create(pkg)
	h.cloud.Inject(outage)
	h.passes(pkg, 1)
	h.must(h.cloud.DropPackage(project, "pkg"))
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("b", "Select")) })
	settled(h, pkg)
	h.mustShare(held{Grants: []string{"table default.b: select"}})
}

// TestADeletionGoesOnAfterThreeRefusals.
func TestADeletionGoesOnAfterThreeRefusals(t *testing.T) {
	h := newHarness(t)
	h.theirPackage(selectA)
	pkg := newPackage("pkg", ofTables(table("a", "Describe", "Select")))
	pkg.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(pkg)
	settled(h, pkg)
	h.delete(pkg)
	h.refusing(func(_ *http.Request, body string) bool {
		return strings.HasPrefix(body, `{"add"`) && !strings.Contains(body, "describe")
	})
	h.passes(pkg, 6)
	h.restart()
	if left := settled(h, pkg); left != nil {
		t.Errorf("left: %s", describe(left))
	}
	h.mustShare(held{Grants: []string{"table default.a: select"}})
}
