package controllers_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// packageLife walks a package through all that can happen to it, checking the cloud after every station: creation with what the create
// body can say and what it cannot, a change of everything, drift of everything, and deletion.
func packageLife(h *harness) {
	h.t.Helper()
	pkg := newPackage("pkg", ofTables(table("orders", "Describe", "Select"), v1alpha1.TableGrant{SchemaName: "ods", Name: "raw", Actions: []string{"Select"}}),
		allow("partner", 2), allow("friend", 3), allow("*", 0))
	h.create(pkg)
	station := func(name string, want held) {
		h.t.Helper()
		mustBe(h.t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if diff := cmp.Diff(want, h.held()); diff != "" {
			h.t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	station("created", held{Grants: []string{"table default.orders: describe select", "table ods.raw: select"}, Allowed: []string{"* 0", "friend 3", "partner 2"}})

	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
		p.Spec.Resources = ofTables(table("orders", "Select"), v1alpha1.TableGrant{SchemaName: "ods", Name: "other", Actions: []string{"Select"}})
		p.Spec.Resources.Functions = []v1alpha1.FunctionGrant{{SchemaName: "default", Name: "mask", Actions: []string{"Execute"}}}
		p.Spec.AllowedProjects = []v1alpha1.AllowedProject{allow("partner", 1), allow("third", 0)}
	})
	changed := held{
		Grants: []string{"function default.mask: execute", "table default.orders: select", "table ods.other: select"}, Allowed: []string{"partner 1", "third 0"},
	}
	station("changed", changed)

	h.must(h.cloud.RemoveFromPackage(project, "pkg", fakecloud.Grant{Kind: "function", Name: "mask"}))
	h.must(h.cloud.AddToPackage(project, "pkg", fakecloud.Grant{Kind: "table", Name: "surplus", Actions: []string{"Select"}}))
	h.must(h.cloud.DisallowProject(project, "pkg", "third"))
	h.must(h.cloud.AllowProject(project, "pkg", "stranger", 9))
	// A stale read can hide the drift from one look, or from several; it is found at the first that sees the present.
	for range 3 {
		settled(h, pkg)
	}
	station("drift corrected", changed)

	h.delete(pkg)
	if left := settled(h, pkg); left != nil || h.exists(pkg) {
		h.t.Errorf("after the deletion: object %s, package exists: %v", describe(left), h.exists(pkg))
	}
}

// installationLife walks an installation through all that can happen to it: a source that is shared late, an uninstallation by hand, a
// source that is dropped and made anew, and deletion.
func installationLife(h *harness) {
	h.t.Helper()
	h.must(h.cloud.CreatePackage(partner, "pkg"))
	installation := newInstallation("pkg")
	h.create(installation)
	for range 2 {
		_, _ = h.pass(installation) //nolint:errcheck // it waits
		h.clock.ahead.Add(int64(backoff))
	}
	h.must(h.cloud.AllowProject(partner, "pkg", project, 0))
	station := func(name string) {
		h.t.Helper()
		mustBe(h.t, settled(h, installation), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if !h.exists(installation) {
			h.t.Errorf("%s: not installed", name)
		}
	}
	station("installed")
	h.must(h.cloud.UninstallPackage(project, partner, "pkg"))
	for i := range 4 {
		// Asked for, since lists are looked at once in an interval; and more often than reads are stale.
		h.annotate(installation, v1alpha1.RequestedAtAnnotation, fmt.Sprint("look ", i))
		settled(h, installation)
	}
	station("installed again")
	h.must(h.cloud.DropPackage(partner, "pkg"))
	for i := range 6 {
		h.annotate(installation, v1alpha1.RequestedAtAnnotation, fmt.Sprint("dropped ", i))
		_, _ = h.pass(installation) //nolint:errcheck // it waits
		h.clock.ahead.Add(int64(time.Minute))
	}
	h.must(h.cloud.CreatePackage(partner, "pkg"))
	h.must(h.cloud.AllowProject(partner, "pkg", project, 0))
	for i := range 4 {
		h.annotate(installation, v1alpha1.RequestedAtAnnotation, fmt.Sprint("made anew ", i))
		settled(h, installation)
	}
	station("installed anew")
	h.delete(installation)
	if left := settled(h, installation); left != nil || h.exists(installation) {
		h.t.Errorf("after the deletion: object %s, installed: %v", describe(left), h.exists(installation))
	}
}

// randomPackage draws contents and projects from few names, so that two of them overlap, in varying case.
func randomPackage(r *rand.Rand) (*v1alpha1.PackageResources, []v1alpha1.AllowedProject) {
	full := randomACL(r)
	resources := &v1alpha1.PackageResources{Tables: full.Tables, Resources: full.Resources, Functions: full.Functions}
	allowed := []v1alpha1.AllowedProject{}
	for _, name := range []string{"p_0", "p_1", "p_2", "p_3"} {
		if r.IntN(2) == 0 {
			if r.IntN(4) == 0 {
				name = strings.ToUpper(name)
			}
			allowed = append(allowed, allow(name, r.Int32N(3)))
		}
	}
	return resources, allowed
}

// sharesOf lists whom a spec allows, as "project label" in lower case.
func sharesOf(allowed []v1alpha1.AllowedProject) map[string]bool {
	shares := map[string]bool{}
	for _, a := range allowed {
		shares[strings.ToLower(fmt.Sprintf("%s %d", a.ProjectName, a.Label))] = true
	}
	return shares
}

// heldOf lists what the fake holds for a package, in the same forms as pairsOf and sharesOf.
func (h *harness) heldOf(name string) (pairs, shares map[string]bool) {
	pairs, shares = map[string]bool{}, map[string]bool{}
	for _, g := range h.cloud.PackageGrants(project, name) {
		for _, a := range g.Actions {
			pairs[strings.ToLower(g.Kind+" "+g.SchemaName+"."+g.Name+" "+a)] = true
		}
	}
	for _, a := range h.cloud.PackageAllowed(project, name) {
		shares[fmt.Sprintf("%s %d", a.Project, a.Label)] = true
	}
	return pairs, shares
}

// objectsOf groups pairs by object: what has the same text before and after must not be touched.
func objectsOf(pairs map[string]bool) map[string]string {
	objects := map[string]string{}
	for _, pair := range keys(pairs) {
		i := strings.LastIndex(pair, " ")
		objects[pair[:i]] += pair[i:]
	}
	return objects
}

// checkPackageJournal replays what the calls since the last reset changed: only entries and projects that differ are touched, each entry
// at most once removed and once added, who has to go goes first, and what has to go goes after what comes.
func checkPackageJournal(t *testing.T, journal []fakecloud.Entry, before, after, sharesBefore, sharesAfter map[string]bool) {
	t.Helper()
	old, now := objectsOf(before), objectsOf(after)
	var order []string
	touched := map[string]int{}
	for _, entry := range journal {
		for _, c := range entry.Changes {
			if c.Change == fakecloud.ChangeAllowProject || c.Change == fakecloud.ChangeDisallowProject {
				checkSharing(t, c, sharesBefore, sharesAfter, len(order) > 0)
				continue
			}
			object := strings.ToLower(c.Kind + " " + c.SchemaName + "." + c.Name)
			if old[object] == now[object] {
				t.Errorf("%s of %s, which has not changed", c.Change, object)
			}
			if touched[c.Change+object]++; touched[c.Change+object] > 1 {
				t.Errorf("%s of %s twice", c.Change, object)
			}
			if old[object] == "" || now[object] == "" { // an entry that is replaced has both
				order = append(order, c.Change)
			}
		}
	}
	if !slices.IsSorted(order) { // addResource comes before removeResource
		t.Errorf("order of what is added and removed: %v", order)
	}
}

// checkSharing checks a change of whom a package is shared with. late says that its contents have changed before.
func checkSharing(t *testing.T, c fakecloud.Change, before, after map[string]bool, late bool) {
	t.Helper()
	share := fmt.Sprintf("%s %d", c.Allowed, c.Label)
	wanted := slices.ContainsFunc(keys(after), func(share string) bool { return strings.HasPrefix(share, c.Allowed+" ") })
	switch {
	case c.Change == fakecloud.ChangeAllowProject && (before[share] || !after[share]):
		t.Errorf("%s was allowed", share)
	case c.Change == fakecloud.ChangeDisallowProject && (wanted || late):
		t.Errorf("%s was disallowed; it is wanted: %v; after the contents had changed: %v", c.Allowed, wanted, late)
	}
}

// TestRandomPackagesConverge walks packages through 3,000 random changes of their contents and of whom they are shared with.
func TestRandomPackagesConverge(t *testing.T) {
	const walkers, steps = 3, 1000
	for walker := range uint64(walkers) {
		t.Run(fmt.Sprintf("walker %d", walker), func(t *testing.T) {
			t.Parallel()
			walkPackage(t, rand.New(rand.NewPCG(walker, 2026)), steps)
		})
	}
}

func walkPackage(t *testing.T, r *rand.Rand, steps int) {
	h := newHarness(t)
	resources, allowed := randomPackage(r)
	pkg := newPackage("walker", resources, allowed...)
	h.create(pkg)
	settled(h, pkg)
	for range steps {
		before, sharesBefore := contentPairs(resources), sharesOf(allowed)
		resources, allowed = randomPackage(r)
		after, sharesAfter := contentPairs(resources), sharesOf(allowed)
		edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources, p.Spec.AllowedProjects = resources, allowed })
		h.cloud.ResetJournal()
		mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if pairs, shares := h.heldOf("walker"); !samePairs(pairs, after) || !samePairs(shares, sharesAfter) {
			t.Fatalf("held %v and %v, want %v and %v", keys(pairs), keys(shares), keys(after), keys(sharesAfter))
		}
		checkPackageJournal(t, h.cloud.Journal(), before, after, sharesBefore, sharesAfter)
		if same := samePairs(before, after) && samePairs(sharesBefore, sharesAfter); same != (len(h.cloud.Writes()) == 0) {
			t.Errorf("%d writes for a change from %v, %v to %v, %v", len(h.cloud.Writes()), keys(before), keys(sharesBefore), keys(after), keys(sharesAfter))
		}
		h.quiet(pkg)
		lastEvent(h)
		if t.Failed() {
			return
		}
	}
}

// contentPairs lists what the contents of a package mean, like pairsOf.
func contentPairs(r *v1alpha1.PackageResources) map[string]bool {
	return pairsOf(&v1alpha1.RoleACL{Tables: r.Tables, Resources: r.Resources, Functions: r.Functions})
}
