package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func newPackage(name string, resources *v1alpha1.PackageResources, allowed ...v1alpha1.AllowedProject) *v1alpha1.MaxComputePackage {
	return &v1alpha1.MaxComputePackage{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: strings.ReplaceAll(name, "_", "-"), UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.MaxComputePackageSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: project, PackageName: name,
			Resources: resources, AllowedProjects: allowed, ManagementPolicy: v1alpha1.ManagementAuthoritative, DeletionPolicy: v1alpha1.DeletionDelete,
		},
		Status: v1alpha1.MaxComputePackageStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

func table(name string, actions ...string) v1alpha1.TableGrant {
	return v1alpha1.TableGrant{SchemaName: "default", Name: name, Actions: actions}
}

func ofTables(tables ...v1alpha1.TableGrant) *v1alpha1.PackageResources {
	return &v1alpha1.PackageResources{Tables: tables}
}

func allow(project string, label int32) v1alpha1.AllowedProject {
	return v1alpha1.AllowedProject{ProjectName: project, Label: label}
}

// held is what the fake holds for the package pkg.
type held struct {
	Grants  []string
	Allowed []string
}

func (h *harness) held() held {
	var out held
	for _, g := range h.cloud.PackageGrants(project, "pkg") {
		out.Grants = append(out.Grants, fmt.Sprintf("%s %s.%s: %s", g.Kind, g.SchemaName, g.Name, strings.Join(g.Actions, " ")))
	}
	for _, a := range h.cloud.PackageAllowed(project, "pkg") {
		out.Allowed = append(out.Allowed, fmt.Sprintf("%s %d", a.Project, a.Label))
	}
	slices.Sort(out.Grants)
	slices.Sort(out.Allowed)
	return out
}

func (h *harness) mustShare(want held) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.held()); diff != "" {
		h.t.Errorf("in the package (-want +got):\n%s", diff)
	}
}

// changesOf lists what the calls since the last reset changed in packages, as "add table dim_city" and "allow partner".
func (h *harness) changesOf() []string {
	var out []string
	for _, entry := range h.cloud.Journal() {
		for _, c := range entry.Changes {
			out = append(out, strings.Join(strings.Fields(c.Change+" "+c.Kind+" "+c.Name+c.Allowed), " "))
		}
	}
	return out
}

func TestAPackageFromNothingToNothing(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("dim_city", "Describe", "Select"), v1alpha1.TableGrant{SchemaName: "ods", Name: "raw", Actions: []string{"Select"}}), allow("partner", 2))
	h.create(pkg)
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(held{Grants: []string{"table default.dim_city: describe select", "table ods.raw: select"}, Allowed: []string{"partner 2"}})
	if lists, creates := h.cloud.Count("ListPackages"), h.cloud.Count("CreatePackage"); lists != 1 || creates != 1 || len(h.cloud.Writes()) != 3 {
		t.Errorf("%d lists, %d creates, %d writes; want 1, 1 and 3", lists, creates, len(h.cloud.Writes()))
	}
	h.cloud.ResetJournal()
	h.quiet(pkg)
	if got := h.cloud.Journal(); len(got) != 1 || got[0].Action != "GetPackage" {
		t.Errorf("a quiet pass made %v, want one GetPackage", got)
	}
	h.delete(pkg)
	if left := settled(h, pkg); left != nil || h.exists(pkg) {
		t.Errorf("after the deletion: %s, and the package exists: %v", describe(left), h.exists(pkg))
	}
}

// TestOnlyWhatChangesIsTouched also shows how an entry gets other actions: it alone is removed and added again, and the status says so.
func TestOnlyWhatChangesIsTouched(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("a", "Select"), table("b", "Select"), table("c", "Select")), allow("partner", 2), allow("other", 1))
	h.create(pkg)
	settled(h, pkg)
	h.cloud.ResetJournal()
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
		p.Spec.Resources = ofTables(table("a", "Select"), table("b", "Describe", "Select"), table("d", "Select"))
		p.Spec.AllowedProjects = []v1alpha1.AllowedProject{allow("Partner", 2), allow("third", 0)}
	})
	got := settled(h, pkg)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	want := []string{"disallowProject other", "addResource table d", "removeResource table b", "addResource table b", "removeResource table c", "allowProject third"}
	if diff := cmp.Diff(want, h.changesOf()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	replaced := []v1alpha1.Replacement{{Kind: "Table", SchemaName: "default", Name: "b", Actions: []string{"Describe", "Select"}, PreviousActions: []string{"Select"}}}
	if diff := cmp.Diff(replaced, got.Status.Replacements); diff != "" {
		t.Errorf("status.replacements (-want +got):\n%s", diff)
	}
	h.quiet(pkg)
	if event := lastEvent(h); !strings.Contains(event, "removed and added again 1 entry") {
		t.Errorf("the event says %q", event)
	}
}

// lastEvent is the last thing that was told to people.
func lastEvent(h *harness) string {
	last := ""
	for len(h.events.Events) > 0 {
		last = <-h.events.Events
	}
	return last
}

// TestARefusedReplacementIsPutBack: nobody who uses a package loses an entry for a change that the service does not make.
func TestARefusedReplacementIsPutBack(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("a", "Select"), table("b", "Select")))
	h.create(pkg)
	settled(h, pkg)
	before := h.held()
	refusal := fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "ODPS-0420061", Message: "invalid parameter", Action: "UpdatePackage", After: 1, Times: 1}
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
		p.Spec.Resources = ofTables(table("a", "Select", "Drop"), table("b", "Select"))
	})
	for range 5 {
		h.cloud.ClearFaults()
		h.cloud.Inject(refusal) // the removal goes through, the addition does not
		_, _ = h.pass(pkg)      //nolint:errcheck // the condition is what counts
		h.mustShare(before)
		mustBe(t, stored(h, pkg), metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	}
	h.cloud.ClearFaults()
	got := stored(h, pkg)
	if len(got.Status.Replacements) != 1 || got.Status.Replacements[0].Refusals != 3 {
		t.Errorf("replacements: %+v", got.Status.Replacements)
	}
	writes := len(h.cloud.Writes())
	_, _ = h.pass(pkg) //nolint:errcheck // the condition is what counts
	if n := len(h.cloud.Writes()); n != writes {
		t.Errorf("%d writes after the third refusal", n-writes)
	}
	h.annotate(pkg, v1alpha1.RequestedAtAnnotation, "now")
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(held{Grants: []string{"table default.a: drop select", "table default.b: select"}})
}

// TestAnInterruptedReplacementIsPutBackIfRefused: the removal went through, the operator ended, and the service does not take the new actions.
func TestAnInterruptedReplacementIsPutBackIfRefused(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("a", "Select")))
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(table("a", "Select", "Drop")) })
	calls := h.calls.Load()
	h.crash = func(call int64, before bool) {
		if call == calls+2 && !before { // a look, and the removal
			panic(errCrashed)
		}
	}
	_, _ = h.pass(pkg) //nolint:errcheck // it crashes
	h.crash = nil
	if got := h.held(); len(got.Grants) != 0 {
		t.Fatalf("the removal was not made: %v", got)
	}
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "ODPS-0420061", Message: "invalid parameter", Action: "UpdatePackage", Times: 1})
	h.cloud.ResetJournal()
	got := settled(h, pkg)
	var added [][]string
	for _, entry := range h.cloud.Journal() {
		for _, c := range entry.Changes {
			added = append(added, append([]string{c.Change}, c.Actions...))
		}
	}
	want := [][]string{{"addResource", "select"}, {"removeResource", "select"}, {"addResource", "drop", "select"}}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("put back, and tried again (-want +got):\n%s", diff)
	}
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

func TestLabels(t *testing.T) {
	for _, style := range []fakecloud.Relabel{fakecloud.RelabelReplace, fakecloud.RelabelIgnore, fakecloud.RelabelRefuse} {
		t.Run(string(style), func(t *testing.T) {
			h := newHarness(t)
			h.cloud.SetPackageStyle(fakecloud.PackageStyle{Relabel: style})
			pkg := newPackage("pkg", nil, allow("partner", 2), allow("other", 1), allow("third", 3))
			h.create(pkg)
			settled(h, pkg)
			h.cloud.ResetJournal()
			edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
				p.Spec.AllowedProjects = []v1alpha1.AllowedProject{allow("partner", 1), allow("other", 5), allow("third", 3)}
			})
			got := settled(h, pkg)
			mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.mustShare(held{Allowed: []string{"other 5", "partner 1", "third 3"}})
			for _, change := range h.changesOf() {
				if strings.HasSuffix(change, "third") || style == fakecloud.RelabelReplace && strings.HasPrefix(change, "disallow") {
					t.Errorf("needless: %s", change)
				}
			}
			if n := len(got.Status.Replacements); n != map[fakecloud.Relabel]int{fakecloud.RelabelIgnore: 2, fakecloud.RelabelRefuse: 2}[style] {
				t.Errorf("status.replacements: %+v", got.Status.Replacements)
			}
			h.quiet(pkg)
		})
	}
}

// TestADroppedTableComesBackIntoThePackage when it is created again: dropping it took its entry with it.
func TestADroppedTableComesBackIntoThePackage(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.SetStrict(project, true))
	h.must(h.cloud.DeclareObject(project, "table", "default", "a"))
	h.must(h.cloud.DeclareObject(project, "table", "default", "b"))
	pkg := newPackage("pkg", ofTables(table("a", "Select"), table("b", "Select")))
	h.create(pkg)
	settled(h, pkg)
	want := h.held()
	h.must(h.cloud.DropObject(project, "table", "default", "a"))
	_, _ = h.pass(pkg) //nolint:errcheck // the condition is what counts
	mustBe(t, stored(h, pkg), metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	h.must(h.cloud.DeclareObject(project, "table", "default", "a"))
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(want)
}

// TestOneTableThatDoesNotExist does not cost the other 249, in a new package and in one that is there.
func TestOneTableThatDoesNotExist(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.SetStrict(project, true))
	var tables []v1alpha1.TableGrant
	for i := range 250 {
		name := fmt.Sprintf("t_%03d", i)
		tables = append(tables, table(name, "Select"))
		if i != 120 {
			h.must(h.cloud.DeclareObject(project, "table", "default", name))
		}
	}
	pkg := newPackage("pkg", ofTables(tables...))
	h.create(pkg)
	_, _ = h.pass(pkg) //nolint:errcheck // the condition is what counts
	got := stored(h, pkg)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if n := len(h.held().Grants); n != 249 || !strings.Contains(describe(got), "t_120") {
		t.Errorf("%d entries; %s", n, describe(got))
	}
}

func TestAThousandResources(t *testing.T) {
	h := newHarness(t)
	resources := &v1alpha1.PackageResources{}
	for i := range 1000 {
		switch name := fmt.Sprintf("o_%03d", i); i % 3 {
		case 0:
			resources.Tables = append(resources.Tables, table(name, "Select"))
		case 1:
			resources.Functions = append(resources.Functions, v1alpha1.FunctionGrant{SchemaName: "default", Name: name, Actions: []string{"Execute"}})
		default:
			resources.Resources = append(resources.Resources, v1alpha1.ResourceGrant{SchemaName: "default", Name: name + ".jar", Actions: []string{"Read"}})
		}
	}
	pkg := newPackage("pkg", resources)
	h.create(pkg)
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if n := len(h.held().Grants); n != 1000 {
		t.Errorf("%d entries", n)
	}
	if n := len(h.cloud.Writes()); n != 10 {
		t.Errorf("%d writes, want one CreatePackage and nine UpdatePackage", n)
	}
}

func TestAPackageThatIsThere(t *testing.T) {
	there := func(h *harness) {
		h.foreign = true
		h.must(h.cloud.CreatePackage(project, "pkg"))
		h.must(h.cloud.AddToPackage(project, "pkg", fakecloud.Grant{Kind: "table", Name: "a", Actions: []string{"Describe", "Select"}}))
		h.must(h.cloud.AddToPackage(project, "pkg", fakecloud.Grant{Kind: "table", Name: "theirs", Actions: []string{"Select"}}))
		h.must(h.cloud.AllowProject(project, "pkg", "friend", 3))
	}
	whole := held{Grants: []string{"table default.a: describe select", "table default.theirs: select"}, Allowed: []string{"friend 3"}}
	ours := held{Grants: []string{"table default.a: select update", "table default.b: select"}, Allowed: []string{"partner 0"}}
	both := held{
		Grants:  []string{"table default.a: describe select update", "table default.b: select", "table default.theirs: select"},
		Allowed: []string{"friend 3", "partner 0"},
	}
	tests := map[string]struct {
		management v1alpha1.ManagementPolicy
		adoption   v1alpha1.AdoptionPolicy
		reason     string
		want       held
		foreign    int32
		drift      int32
		// after is what is left after the deletion.
		after held
	}{
		"adoption fails":       {v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionFail, v1alpha1.ReasonAlreadyExists, whole, 0, 6, whole},
		"adopted":              {v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionAdopt, v1alpha1.ReasonSucceeded, ours, 0, 0, held{Grants: []string{"table default.a: select"}}},
		"adopted, additively":  {v1alpha1.ManagementAdditive, v1alpha1.AdoptionAdopt, v1alpha1.ReasonSucceeded, both, 3, 0, whole},
		"looked at":            {v1alpha1.ManagementObserve, v1alpha1.AdoptionFail, v1alpha1.ReasonObserved, whole, 0, 6, whole},
		"looked at, additive?": {v1alpha1.ManagementObserve, v1alpha1.AdoptionAdopt, v1alpha1.ReasonObserved, whole, 0, 6, whole},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			there(h)
			pkg := newPackage("PKG", ofTables(table("a", "Select", "Update"), table("b", "Select")), allow("partner", 0))
			pkg.Spec.ManagementPolicy, pkg.Spec.AdoptionPolicy = tc.management, tc.adoption
			h.create(pkg)
			got := settled(h, pkg)
			status := metav1.ConditionTrue
			if tc.reason == v1alpha1.ReasonAlreadyExists {
				status = metav1.ConditionFalse
			}
			mustBe(t, got, status, tc.reason)
			h.mustShare(tc.want)
			if got.Status.Foreign != tc.foreign || got.Status.DriftCount != tc.drift {
				t.Errorf("foreign %d, drift %d: %v; want %d and %d", got.Status.Foreign, got.Status.DriftCount, got.Status.Drift, tc.foreign, tc.drift)
			}
			h.quiet(pkg)
			h.delete(pkg)
			if left := settled(h, pkg); left != nil {
				t.Errorf("left: %s", describe(left))
			}
			h.mustShare(tc.after)
		})
	}
}

// TestAbsentIsNotManagedAndEmptyIsNone, for both parts of a package.
func TestAbsentIsNotManagedAndEmptyIsNone(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", ofTables(table("a", "Select")), allow("partner", 0))
	h.create(pkg)
	settled(h, pkg)
	byHand := func() {
		h.must(h.cloud.AddToPackage(project, "pkg", fakecloud.Grant{Kind: "table", Name: "x", Actions: []string{"Select"}}))
		h.must(h.cloud.AllowProject(project, "pkg", "friend", 3))
	}
	byHand()
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources, p.Spec.AllowedProjects = nil, nil })
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(held{Grants: []string{"table default.x: select"}, Allowed: []string{"friend 3"}})
	h.quiet(pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
		p.Spec.Resources, p.Spec.AllowedProjects = &v1alpha1.PackageResources{}, []v1alpha1.AllowedProject{}
	})
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(held{})
}

func TestOnePackageTwoOwners(t *testing.T) {
	h := newHarness(t)
	older, younger := newPackage("pkg", ofTables(table("a", "Select"))), newPackage("PKG", ofTables(table("b", "Select")))
	older.CreationTimestamp, younger.CreationTimestamp = metav1.Unix(1_700_000_000, 0), metav1.Unix(1_700_000_001, 0)
	younger.Name, younger.Spec.AdoptionPolicy = "younger", v1alpha1.AdoptionAdopt
	h.create(older)
	h.create(younger)
	settled(h, older)
	h.foreign = true
	mustBe(t, settled(h, younger), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
	h.mustShare(held{Grants: []string{"table default.a: select"}})
	edited(h, older, func(p *v1alpha1.MaxComputePackage) { p.Spec.DeletionPolicy = v1alpha1.DeletionRetain })
	h.delete(older)
	settled(h, older)
	mustBe(t, settled(h, younger), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(held{Grants: []string{"table default.b: select"}})
}

// TestAMassRemovalNeedsAYes, as with roles.
func TestAMassRemovalNeedsAYes(t *testing.T) {
	h := newHarness(t)
	h.maxRevocations = 50
	h.restart()
	var tables []v1alpha1.TableGrant
	for i := range 60 {
		tables = append(tables, table(fmt.Sprintf("t_%d", i), "Select"))
	}
	pkg := newPackage("pkg", ofTables(tables...))
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = &v1alpha1.PackageResources{} })
	got := settled(h, pkg)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonRevokeLimitExceeded)
	if n := len(h.held().Grants); n != 60 {
		t.Errorf("%d entries are left", n)
	}
	h.annotate(pkg, v1alpha1.ApprovePlanAnnotation, got.Status.PendingPlan.Hash)
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustShare(held{})
}

func TestOneProjectTwoLabels(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", nil, allow("partner", 2), allow("Partner", 3))
	h.create(pkg)
	mustBe(t, settled(h, pkg), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	if h.exists(pkg) {
		t.Error("the package was created")
	}
}

// TestAllProjectsGiveWayToSomeAndBack without a moment in which one that may install the package before and after may not.
func TestAllProjectsGiveWayToSomeAndBack(t *testing.T) {
	h := newHarness(t)
	pkg := newPackage("pkg", nil, allow("*", 0), allow("friend", 1))
	h.create(pkg)
	settled(h, pkg)
	for _, step := range []struct {
		allowed []v1alpha1.AllowedProject
		want    []string
	}{
		{[]v1alpha1.AllowedProject{allow("friend", 1), allow("partner", 0)}, []string{"allowProject partner", "disallowProject *"}},
		{[]v1alpha1.AllowedProject{allow("*", 0)}, []string{"allowProject *", "disallowProject friend", "disallowProject partner"}},
	} {
		h.cloud.ResetJournal()
		edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.AllowedProjects = step.allowed })
		mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if diff := cmp.Diff(step.want, h.changesOf()); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	}
}
