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

// These tests are what an attack on packages and installations found.

// passes makes passes over an object, however they end.
func (h *harness) passes(obj object, n int) {
	for range n {
		_, _ = h.pass(obj) //nolint:errcheck // the state of the world is what counts
		h.clock.ahead.Add(int64(backoff))
	}
}

// theirPackage makes a package by somebody else.
func (h *harness) theirPackage(grants ...fakecloud.Grant) {
	h.foreign = true
	h.must(h.cloud.CreatePackage(project, "pkg"))
	for _, g := range grants {
		h.must(h.cloud.AddToPackage(project, "pkg", g))
	}
}

var (
	selectA = fakecloud.Grant{Kind: "table", Name: "a", Actions: []string{"Select"}}
	// outage lets a removal through and not the addition that follows it.
	outage = fakecloud.Fault{Kind: fakecloud.FaultServerError, Action: "UpdatePackage", After: 1, Times: 1}
	// busy refuses one change of a package.
	busy = fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "ODPS-0420061", Message: "busy", Action: "UpdatePackage", Times: 1}
)

// TestLabelsOfProjectsThatWereAllowedBefore are not lowered additively, and are given back.
func TestLabelsOfProjectsThatWereAllowedBefore(t *testing.T) {
	for _, style := range []fakecloud.Relabel{fakecloud.RelabelReplace, fakecloud.RelabelIgnore, fakecloud.RelabelRefuse} {
		t.Run(string(style), func(t *testing.T) {
			h := newHarness(t)
			h.cloud.SetPackageStyle(fakecloud.PackageStyle{Relabel: style})
			h.theirPackage()
			h.must(h.cloud.AllowProject(project, "pkg", "high", 3))
			h.must(h.cloud.AllowProject(project, "pkg", "low", 1))
			pkg := newPackage("pkg", nil, allow("high", 0), allow("low", 9))
			pkg.Spec.ManagementPolicy, pkg.Spec.AdoptionPolicy = v1alpha1.ManagementAdditive, v1alpha1.AdoptionAdopt
			h.create(pkg)
			mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.mustShare(held{Allowed: []string{"high 3", "low 9"}})
			h.quiet(pkg)
			h.delete(pkg)
			settled(h, pkg)
			h.mustShare(held{Allowed: []string{"high 3", "low 1"}})
		})
	}
}

// TestWhatIsRefusedKeepsNothingShared: what has to go goes, however many additions are refused.
func TestWhatIsRefusedKeepsNothingShared(t *testing.T) {
	missing := func(schema string) (tables []v1alpha1.TableGrant) {
		for i := range 8 {
			tables = append(tables, v1alpha1.TableGrant{SchemaName: schema, Name: fmt.Sprintf("t_%d", i), Actions: []string{"Select"}})
		}
		return append(tables, v1alpha1.TableGrant{SchemaName: schema, Name: "there", Actions: []string{"Select"}})
	}
	strict := func(t *testing.T) *harness {
		h := newHarness(t)
		h.must(h.cloud.SetStrict(project, true))
		for _, name := range []string{"orders", "there"} {
			h.must(h.cloud.DeclareObject(project, "table", "default", name))
			h.must(h.cloud.DeclareObject(project, "table", "ods", name))
		}
		return h
	}
	t.Run("package", func(t *testing.T) {
		h := strict(t)
		pkg := newPackage("pkg", ofTables(table("orders", "Select")))
		h.create(pkg)
		settled(h, pkg)
		edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = ofTables(missing("ods")...) })
		h.passes(pkg, 2)
		h.mustShare(held{Grants: []string{"table ods.there: select"}})
	})
	t.Run("role", func(t *testing.T) {
		h := strict(t)
		role := newRole("reader", tables("Select"))
		h.create(role)
		h.settle(role)
		h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = &v1alpha1.RoleACL{Tables: missing("default")} })
		h.passes(role, 2)
		if granted := h.granted("reader"); !slices.Equal(granted, []string{"table default.there: select"}) {
			t.Errorf("granted: %v", granted)
		}
	})
	t.Run("role of an identity that may not grant", func(t *testing.T) {
		h := strict(t)
		role := newRole("reader", tables("Select"))
		h.create(role)
		h.settle(role)
		h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = &v1alpha1.RoleACL{Tables: missing("default")} })
		h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Statement: "GRANT "})
		h.cloud.ResetJournal()
		h.passes(role, 1)
		if granted := h.granted("reader"); len(granted) != 0 {
			t.Errorf("granted: %v", granted)
		}
		if n := len(h.cloud.Writes()); n > 8 {
			t.Errorf("%d writes were tried", n)
		}
	})
}

// TestTheWayFromAllToSomeWaitsForWhatIsAllowed: nobody is disallowed because of an allowance that did not come about.
func TestTheWayFromAllToSomeWaitsForWhatIsAllowed(t *testing.T) {
	tests := map[string]struct {
		before, after []v1alpha1.AllowedProject
		fault         fakecloud.Fault
		want          []string
	}{
		"to all": {
			[]v1alpha1.AllowedProject{allow("friend", 0)}, []v1alpha1.AllowedProject{allow("*", 0)},
			fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Statement: "ALLOW PROJECT *"}, []string{"friend 0"},
		},
		"to some": {
			[]v1alpha1.AllowedProject{allow("*", 0)}, []v1alpha1.AllowedProject{allow("partner", 0)},
			fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Action: "UpdatePackage"}, []string{"* 0"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			pkg := newPackage("pkg", nil, tc.before...)
			h.create(pkg)
			settled(h, pkg)
			h.cloud.Inject(tc.fault)
			edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.AllowedProjects = tc.after })
			h.passes(pkg, 3)
			h.mustShare(held{Allowed: tc.want})
			h.cloud.ClearFaults()
			mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if got := h.held().Allowed; len(got) != 1 || got[0] == tc.want[0] {
				t.Errorf("allowed in the end: %v", got)
			}
		})
	}
	t.Run("a newcomer with a higher label sees nothing that goes", func(t *testing.T) {
		h := newHarness(t)
		pkg := newPackage("pkg", ofTables(table("public", "Select"), table("secret", "Select")), allow("*", 0))
		h.create(pkg)
		settled(h, pkg)
		h.cloud.ResetJournal()
		edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
			p.Spec.Resources, p.Spec.AllowedProjects = ofTables(table("public", "Select"), table("new", "Select")), []v1alpha1.AllowedProject{allow("partner", 9)}
		})
		settled(h, pkg)
		want := []string{"removeResource table secret", "allowProject partner", "disallowProject *", "addResource table new"}
		if got := h.changesOf(); !slices.Equal(got, want) {
			t.Errorf("changes: %v, want %v", got, want)
		}
	})
}

// TestSwappingAThousandEntries in a package that can hold no more.
func TestSwappingAThousandEntries(t *testing.T) {
	h := newHarness(t)
	numbered := func(prefix string) *v1alpha1.PackageResources {
		r := &v1alpha1.PackageResources{}
		for i := range 1000 {
			r.Tables = append(r.Tables, table(fmt.Sprintf("%s_%d", prefix, i), "Select"))
		}
		return r
	}
	pkg := newPackage("pkg", numbered("old"))
	h.create(pkg)
	settled(h, pkg)
	h.cloud.ResetJournal()
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources = numbered("new") })
	mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if n := len(h.cloud.Writes()); n != 20 {
		t.Errorf("%d writes, want ten removals and ten additions", n)
	}
}

// TestAPartialPackageIsNotUnsettled, so that a label is changed in place; and labels that rise take nothing away.
func TestAPartialPackageIsNotUnsettled(t *testing.T) {
	h := newHarness(t)
	h.maxRevocations = 50
	h.restart()
	h.must(h.cloud.SetStrict(project, true))
	h.must(h.cloud.DeclareObject(project, "table", "default", "a"))
	var low, high []v1alpha1.AllowedProject
	for i := range 60 {
		low, high = append(low, allow(fmt.Sprintf("p_%d", i), 0)), append(high, allow(fmt.Sprintf("p_%d", i), 3))
	}
	pkg := newPackage("pkg", ofTables(table("a", "Select"), table("missing", "Select")), low...)
	h.create(pkg)
	h.passes(pkg, 1)
	if got := stored(h, pkg); got.Status.Unsettled != 0 {
		t.Errorf("unsettled: %s", describe(got))
	}
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.AllowedProjects = high })
	h.cloud.SetPackageStyle(fakecloud.PackageStyle{Relabel: fakecloud.RelabelRefuse})
	h.passes(pkg, 2)
	got := stored(h, pkg)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if allowed := h.held().Allowed; len(allowed) != 60 || slices.ContainsFunc(allowed, func(a string) bool { return !strings.HasSuffix(a, " 3") }) {
		t.Errorf("allowed: %v; %s", allowed, describe(got))
	}
}

// TestAWaitingRoleAsksOnce for the list, however many packages it waits for, and takes away what it has to even without it.
func TestAWaitingRoleAsksOnce(t *testing.T) {
	h := newHarness(t)
	acl := tables("Select", "Update")
	for i := range 50 {
		acl.Packages = append(acl.Packages, v1alpha1.PackageGrant{Name: fmt.Sprintf("partner.later_%d", i), Actions: []string{"Read"}})
	}
	role := newRole("reader", acl)
	h.create(role)
	h.passes(role, 1)
	h.cloud.ResetJournal()
	h.passes(role, 1)
	if n := h.cloud.Count("ListPackages"); n != 1 {
		t.Errorf("%d ListPackages in one pass", n)
	}
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Action: "ListPackages"})
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL.Tables[0].Actions = []string{"Select"} })
	h.passes(role, 2)
	if granted := h.granted("reader"); !slices.Equal(granted, []string{"table default.orders: select"}) {
		t.Errorf("granted: %v", granted)
	}
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
}

// TestADeadInstallationOfSomebodyElse stays.
func TestADeadInstallationOfSomebodyElse(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	installation := newInstallation("shared")
	installation.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(installation)
	settled(h, installation)
	h.must(h.cloud.DropPackage(partner, "shared"))
	for i := range 3 {
		h.annotate(installation, v1alpha1.RequestedAtAnnotation, fmt.Sprint(i))
		h.passes(installation, 1)
		h.clock.ahead.Add(int64(2 * time.Minute))
	}
	mustBe(t, stored(h, installation), metav1.ConditionFalse, v1alpha1.ReasonSourceNotAvailable)
	if !h.exists(installation) {
		t.Error("it was uninstalled")
	}
}

// TestALostInstallIsForgottenInTime: what somebody installs long after is theirs.
func TestALostInstallIsForgottenInTime(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	installation := newInstallation("pkg")
	h.create(installation)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropBefore, Statement: "INSTALL PACKAGE", Times: 5})
	h.passes(installation, 1)
	h.cloud.ClearFaults()
	if got := stored(h, installation); !got.Status.Creating {
		t.Fatalf("not lost: %+v", got.Status)
	}
	for range 3 {
		h.clock.ahead.Add(int64(2 * time.Minute))
		h.passes(installation, 1)
	}
	h.share("pkg")
	mustBe(t, settled(h, installation), metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists)
	h.delete(installation)
	settled(h, installation)
	if n := len(h.cloud.Installed(project)); n != 2 {
		t.Errorf("installed: %v", h.cloud.Installed(project))
	}
}

// refusing refuses requests whose method and body a test chooses.
func (h *harness) refusing(chosen func(r *http.Request, body string) bool) {
	h.breaking(brokenAnswer{http.StatusBadRequest, `{"requestId":"x","errorCode":"ODPS-0420061","errorMsg":"Invalid parameter"}`}, chosen)
}

// brokenAnswer is how a service answers a request that it does not carry out. With the status 0 the connection is lost.
type brokenAnswer struct {
	status int
	body   string
}

// breaking answers requests whose method and body, in lower case, a test chooses.
func (h *harness) breaking(with brokenAnswer, chosen func(r *http.Request, body string) bool) {
	h.rewire(h.kube, func(r *http.Request) (*http.Response, error) {
		body := []byte{}
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		switch {
		case !chosen(r, strings.ToLower(string(body))):
			return nil, nil
		case with.status == 0:
			return nil, io.ErrUnexpectedEOF
		}
		refusal := answer(r, with.body)
		refusal.StatusCode = with.status
		return refusal, nil
	})
}

// TestWhatNarrowsGoesOn although additions are refused, and nobody is let in where a revocation was.
func TestWhatNarrowsGoesOn(t *testing.T) {
	t.Run("an entry that loses actions", func(t *testing.T) {
		h := newHarness(t)
		h.must(h.cloud.SetStrict(project, true))
		h.must(h.cloud.DeclareObject(project, "table", "default", "a"))
		pkg := newPackage("pkg", ofTables(table("a", "Select", "Drop")))
		h.create(pkg)
		settled(h, pkg)
		edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
			p.Spec.Resources = ofTables(table("a", "Select"))
			for i := range 60 {
				p.Spec.Resources.Tables = append(p.Spec.Resources.Tables, v1alpha1.TableGrant{SchemaName: "ods", Name: fmt.Sprintf("t_%d", i), Actions: []string{"Select"}})
			}
		})
		h.passes(pkg, 2)
		h.mustShare(held{Grants: []string{"table default.a: select"}})
	})
	t.Run("a new member", func(t *testing.T) {
		h := newHarness(t)
		role := newRole("reader", tables("Select", "Update"))
		role.Spec.Members = []string{}
		h.create(role)
		h.settle(role)
		h.edit(role, func(r *v1alpha1.ProjectRole) {
			r.Spec.ACL, r.Spec.Members = tables("Select"), []string{"ALIYUN$ops@example.com"}
		})
		h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Statement: "REVOKE "})
		h.passes(role, 2)
		got := h.get(role)
		mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
		if members := h.cloud.Members(project, "reader"); len(members) > 0 || !strings.Contains(describe(got), "not before this is done") {
			t.Errorf("%v; %s", members, describe(got))
		}
		h.cloud.ClearFaults()
		mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	})
}

// TestADeletionThatReadsAnOldState leaves nothing of this object behind.
func TestADeletionThatReadsAnOldState(t *testing.T) {
	h := newHarness(t)
	h.theirPackage(selectA)
	pkg := newPackage("pkg", ofTables(table("a", "Select")))
	pkg.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(pkg)
	settled(h, pkg)
	edited(h, pkg, func(p *v1alpha1.MaxComputePackage) {
		p.Spec.Resources = ofTables(table("a", "Select"), table("b", "Select"))
	})
	h.passes(pkg, 1)
	h.delete(pkg)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, StaleWrites: 1, Action: "GetPackage", Times: 1})
	settled(h, pkg)
	h.mustShare(held{Grants: []string{"table default.a: select"}})
}
