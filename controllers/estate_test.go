package controllers_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// grow puts a random estate into the project, past the operator: roles and packages.
func (h *harness) grow(r *rand.Rand) {
	h.foreign = true
	people := []string{"RAM$corp:alice", "RAM$corp:bob", "ALIYUN$ops@example.com"}
	for i := range 1 + r.IntN(3) {
		name := fmt.Sprintf("Role_%d", i)
		h.must(h.cloud.CreateRole(project, name, "resource"))
		for pair := range pairsOf(randomACL(r)) {
			kind, rest, _ := strings.Cut(pair, " ")
			object, action, _ := strings.Cut(rest, " ")
			schema, object, _ := strings.Cut(object, ".")
			h.must(h.cloud.Grant(project, name, fakecloud.Grant{Kind: kind, SchemaName: schema, Name: object, Actions: []string{action}}))
		}
		if n := r.IntN(4); n > 0 {
			h.must(h.cloud.AddMembers(project, name, people[:n]...))
		}
		if r.IntN(2) == 0 {
			h.must(h.cloud.SetPolicy(project, name, policyOf("odps:Select", "tables/a", "tables/b")))
		}
	}
	if r.IntN(2) == 0 {
		h.must(h.cloud.CreateRole(project, "boss", "admin"))
		h.must(h.cloud.SetPolicy(project, "boss", policyOf("odps:CreateRole", "authorization/roles")))
	}
	if r.IntN(2) == 0 {
		h.must(h.cloud.CreatePackage(project, "out"))
		h.must(h.cloud.AddToPackage(project, "out", fakecloud.Grant{Kind: "table", SchemaName: "default", Name: "t_0", Actions: []string{"Select"}}))
		h.must(h.cloud.AllowProject(project, "out", partner, r.IntN(3)))
	}
	for range r.IntN(4) {
		oddities[r.IntN(len(oddities))].put(h)
	}
}

// hasRole makes sure of the role that oddities are put into.
func (h *harness) hasRole(name string) {
	if !h.cloud.RoleExists(project, name) {
		h.must(h.cloud.CreateRole(project, name, "resource"))
		h.must(h.cloud.Grant(project, name, fakecloud.Grant{Kind: "table", Name: "plain", Actions: []string{"Select"}}))
		h.must(h.cloud.AddMembers(project, name, "RAM$corp:alice"))
	}
}

// odd gives a role something that no manifest can say.
func odd(grants ...fakecloud.Grant) func(*harness) {
	return func(h *harness) {
		h.hasRole("odd")
		h.must(h.cloud.GrantRaw(project, "odd", grants...))
	}
}

func oddTable(name string, actions ...string) fakecloud.Grant {
	return fakecloud.Grant{Kind: "table", Name: name, Actions: actions}
}

// many are tables by the thousand.
func many(n int) []fakecloud.Grant {
	grants := make([]fakecloud.Grant, n)
	for i := range grants {
		grants[i] = oddTable(fmt.Sprintf("t_%d", i), "select")
	}
	return grants
}

// oddities are what the cloud can hold and a manifest cannot say: what the description of the role or package named remarks, and whether
// what it does list is all that the object manages.
var oddities = []struct {
	name, of, remark string
	put              func(*harness)
	additive         bool
}{
	{"an action that nobody knows", "odd", `left out: "vacuum on Table orders"`, odd(oddTable("orders", "select", "vacuum")), true},
	{"nothing but an action that nobody knows", "odd", `left out: "vacuum on Table orders"`, odd(oddTable("orders", "vacuum")), true},
	{"a table with a dash", "odd", `left out: "Select on Table my-table"`, odd(oddTable("my-table", "select")), true},
	{"a wildcard in the middle", "odd", `left out: "Select on Table ods_*_daily"`, odd(oddTable("ods_*_daily", "select")), true},
	{"a table whose name begins with a digit", "odd", "left out: ", odd(oddTable("2026_orders", "select")), true},
	{"a table whose name breaks lines", "odd", "left out: ", odd(oddTable("a\nb: c", "select")), true},
	{"a table with a name that is too long", "odd", "left out: ", odd(oddTable(strings.Repeat("t", 129), "select")), true},
	{"a table with a Chinese name", "odd", "left out: ", odd(oddTable("订单", "select")), true},
	{"a schema with a dash", "odd", `left out: "Select on Table my-schema.orders"`, odd(fakecloud.Grant{Kind: "table", SchemaName: "my-schema", Name: "orders", Actions: []string{"select"}}), true},
	{"a resource in a path", "odd", "left out: ", odd(fakecloud.Grant{Kind: "resource", Name: "lib/a b.jar", Actions: []string{"read"}}), true},
	{"a function with a dot", "odd", "left out: ", odd(fakecloud.Grant{Kind: "function", Name: "a.b", Actions: []string{"read"}}), true},
	{"a package with a wildcard", "odd", "left out: ", odd(fakecloud.Grant{Kind: "package", Name: "partner.*", Actions: []string{"read"}}), true},
	{"a project that begins with a digit", "odd", "left out: ", odd(fakecloud.Grant{Kind: "project", Name: "1st", Actions: []string{"list"}}), true},
	{"an instance with a dash", "odd", "left out: ", odd(fakecloud.Grant{Kind: "instance", Name: "2026-x", Actions: []string{"read"}}), true},
	{"more objects than an ACL can list", "odd", "the ACL is not managed: it lists ", odd(many(1001)...), false},
	{"a member of another provider", "odd", `left out: member "TAOBAO$carol"`, func(h *harness) {
		h.hasRole("odd")
		h.must(h.cloud.AddRawMember(project, "odd", "TAOBAO$carol"))
	}, true},
	{"a member with a Chinese name", "odd", `left out: member "RAM$corp:张三"`, func(h *harness) {
		h.hasRole("odd")
		h.must(h.cloud.AddRawMember(project, "odd", "RAM$corp:张三"))
	}, true},
	{"more members than a manifest can list", "crowd", "the members are not managed: they are 1001", func(h *harness) {
		h.hasRole("crowd")
		people := make([]string, 1000)
		for i := range people {
			people[i] = fmt.Sprintf("RAM$corp:user_%d", i)
		}
		h.must(h.cloud.AddMembers(project, "crowd", people...))
	}, false},
	{"a policy that is too long", "lawyer", "the policy is not managed: it has ", func(h *harness) {
		h.hasRole("lawyer")
		h.must(h.cloud.SetPolicy(project, "lawyer", policyOf("odps:Select", "tables/"+strings.Repeat("a", 64<<10))))
	}, false},
	{"a policy with a number that loses digits", "counter", "the policy is not managed: it holds numbers", func(h *harness) {
		h.hasRole("counter")
		h.must(h.cloud.SetPolicy(project, "counter", `{"Version":"1","Statement":[{"Effect":"Allow","Action":"odps:Select","Resource":"acs:odps:*:projects/p/tables/t","Condition":{"NumericLessThan":{"acs:x":12345678901234567890123}}}]}`))
	}, false},
	{"a role whose name begins with an underscore", "_tmp", "is left out: no object can name it", func(h *harness) { h.must(h.cloud.CreateRawRole(project, "_tmp", "resource")) }, false},
	{"a role with a Chinese name", "角色", "is left out: no object can name it", func(h *harness) { h.must(h.cloud.CreateRawRole(project, "角色", "resource")) }, false},
	{"a role of another type", "auditor", `of type "audit", which no object can be of`, func(h *harness) { h.must(h.cloud.CreateRawRole(project, "auditor", "audit")) }, false},
	{"a package with a dash", "my-package", "is left out: no object can name it", func(h *harness) { h.must(h.cloud.CreateRawPackage(project, "my-package", nil)) }, false},
	{"a package that holds what nobody can name", "odd_package", `left out: "Select on Table my-table"`, func(h *harness) {
		h.must(h.cloud.CreateRawPackage(project, "odd_package", []fakecloud.Grant{oddTable("plain", "select"), oddTable("my-table", "select")}, fakecloud.AllowedProject{Project: partner, Label: 2}))
	}, true},
	{"a package that is shared with whom nobody can name", "odd_sharing", `left out: allowed project "my-project"`, func(h *harness) {
		h.must(h.cloud.CreateRawPackage(project, "odd_sharing", []fakecloud.Grant{oddTable("plain", "select")}, fakecloud.AllowedProject{Project: "my-project", Label: 2}))
	}, true},
	{"a package with more than it can hold", "big_package", "the contents are not managed: they are 1001 objects", func(h *harness) {
		h.must(h.cloud.CreateRawPackage(project, "big_package", many(1001), fakecloud.AllowedProject{Project: "*"}))
	}, false},
	{"a package that is shared with too many", "popular_package", "the allowed projects are not managed: they are 1001", func(h *harness) {
		projects := make([]fakecloud.AllowedProject, 1001)
		for i := range projects {
			projects[i].Project = fmt.Sprintf("project_%d", i)
		}
		h.must(h.cloud.CreateRawPackage(project, "popular_package", nil, projects...))
	}, false},
	{"an installation of what nobody can name", partner + ".my-package", "is left out: no object can name it", func(h *harness) { h.must(h.cloud.InstallRaw(project, partner, "my-package", fakecloud.StatusOK)) }, false},
}

var estate = controllers.Estate{Connection: v1alpha1.ConnectionReference{Name: "prod"}, Namespace: namespace, Project: project}

// describeAll describes everything, and fails the test if something cannot be read.
func (h *harness) describeAll() []controllers.Described {
	h.t.Helper()
	var all []controllers.Described
	for _, kind := range []string{controllers.DescribeRoles, controllers.DescribePackages, controllers.DescribeInstallations} {
		last, total := 0, 0
		found, err := h.previewer().Describe(h.t.Context(), estate, kind, func(done, of int) { last, total = done, of })
		h.must(err)
		if last != len(found) || total != len(found) {
			h.t.Errorf("progress was %d of %d of %d", last, total, len(found))
		}
		for _, d := range found {
			h.must(d.Err)
		}
		all = append(all, found...)
	}
	return all
}

// TestADescribedEstateIsLeftAsItIs: 300 random estates are described, and what describes them is applied: nothing is written.
func TestADescribedEstateIsLeftAsItIs(t *testing.T) {
	const estates, walkers = 300, 4
	for walker := range walkers {
		t.Run(fmt.Sprintf("walker %d", walker), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(walker), 2026))
			for range estates / walkers {
				checkEstate(t, r)
				if t.Failed() {
					return
				}
			}
		})
	}
}

func checkEstate(t *testing.T, r *rand.Rand) {
	h := newHarness(t)
	h.grow(r)
	applyAll(t, h)
}

// applyAll describes what is there and applies it, which must write nothing.
func applyAll(t *testing.T, h *harness) {
	t.Helper()
	h.cloud.ResetJournal()
	described := h.describeAll()
	if len(h.cloud.Writes()) > 0 {
		t.Fatalf("describing wrote: %v", h.cloud.Writes())
	}
	for i, d := range described {
		if d.Object == nil {
			continue
		}
		d.Object.SetNamespace(namespace)
		d.Object.SetName(fmt.Sprintf("object-%d", i))
		d.Object.SetUID(types.UID(fmt.Sprintf("uid-%d", i)))
		d.Object.SetGeneration(1)
		admit(t, d.Object)
		h.create(d.Object)
		obj, ok := d.Object.(subject)
		if !ok {
			t.Fatalf("%T is none of the kinds", d.Object)
		}
		if p, err := h.previewer().Preview(t.Context(), stored(h, obj)); err != nil || p.Revokes()+p.Grants() > 0 {
			t.Errorf("%s: the plan is %s, error %v", d.Name, p, err)
		}
		mustBe(t, settled(h, obj), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	}
	if writes := h.cloud.Writes(); len(writes) > 0 {
		t.Errorf("applying what was described wrote: %v", writes)
	}
}

// TestWhatCannotBeSaidIsLeftAsItIs: it is remarked, the object is one that the API server takes, and to apply it takes nothing away.
func TestWhatCannotBeSaidIsLeftAsItIs(t *testing.T) {
	for _, tc := range oddities {
		t.Run(tc.name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			tc.put(h)
			remarked := false
			for _, d := range h.describeAll() {
				if d.Name != tc.of {
					continue
				}
				remarked = strings.Contains(strings.Join(d.Remarks, "\n"), tc.remark)
				if !remarked || additive(d.Object) != tc.additive {
					t.Errorf("%s is described by %+v, with the remarks %q", d.Name, d.Object, d.Remarks)
				}
			}
			if !remarked {
				t.Errorf("nothing is remarked of %s", tc.of)
			}
			applyAll(t, h)
		})
	}
}

// TestWhatIsThrottledIsReadAgain: others use the account's rate, too. What goes on being refused is named.
func TestWhatIsThrottledIsReadAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		times int
		fails bool
	}{"three times": {3, false}, "for good": {0, true}} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.hasRole("plain")
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle, Action: "GetRoleAcl", Times: tc.times})
			found, err := h.previewer().Describe(t.Context(), estate, controllers.DescribeRoles, func(int, int) {})
			h.must(err)
			if len(found) != 1 || (found[0].Err != nil) != tc.fails {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// TestAnInstallationWithoutASourceIsDescribed, with what the service says of it, and what describes it waits.
func TestAnInstallationWithoutASourceIsDescribed(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	h.must(h.cloud.InstallRaw(project, partner, "gone", fakecloud.StatusSourceDropped))
	for _, d := range h.describeAll() {
		if d.Name != partner+".gone" {
			continue
		}
		if diff := gocmp.Diff([]string{"the service says of the installation: SOURCE_DROPPED"}, d.Remarks); diff != "" {
			t.Errorf("remarks (-want +got):\n%s", diff)
		}
		admit(t, d.Object)
	}
	installation := newInstallation("gone")
	installation.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(installation)
	_, _ = h.pass(installation) //nolint:errcheck // the condition is what counts
	mustBe(t, stored(h, installation), metav1.ConditionFalse, v1alpha1.ReasonSourceNotAvailable)
	if writes := h.cloud.Writes(); len(writes) > 0 {
		t.Errorf("it wrote %v", writes)
	}
}

// additive tells of an object that leaves alone what it does not list.
func additive(obj client.Object) bool {
	switch o := obj.(type) {
	case *v1alpha1.ProjectRole:
		return o.Spec.ManagementPolicy == v1alpha1.ManagementAdditive
	case *v1alpha1.MaxComputePackage:
		return o.Spec.ManagementPolicy == v1alpha1.ManagementAdditive
	}
	return false
}

// TestARoleWithoutAPolicyIsDescribed also where the service says so with null.
func TestARoleWithoutAPolicyIsDescribed(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	h.cloud.SetPolicyEcho(fakecloud.PolicyNull)
	h.hasRole("plain")
	for _, d := range h.describeAll() {
		if role, ok := d.Object.(*v1alpha1.ProjectRole); ok && role.Spec.Policy != nil {
			t.Errorf("%s has the policy %s", d.Name, role.Spec.Policy.Raw)
		}
	}
	applyAll(t, h)
}

// TestWhatIsDescribed: built-in roles are left out, admin roles have no ACL, and what cannot be read is told and costs nothing else.
func TestWhatIsDescribed(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	for _, name := range []string{"role_project_dev", "zeta", "Alpha"} {
		h.must(h.cloud.CreateRole(project, name, "resource"))
	}
	h.must(h.cloud.CreateRole(project, "boss", "admin"))
	found, err := h.previewer().Describe(t.Context(), estate, controllers.DescribeRoles, func(int, int) {})
	h.must(err)
	var names []string
	for _, d := range found {
		names = append(names, d.Name)
		role, ok := d.Object.(*v1alpha1.ProjectRole)
		if !ok || role.Spec.AdoptionPolicy != v1alpha1.AdoptionAdopt || (role.Spec.ACL == nil) != (d.Name == "boss") || role.Spec.Members == nil || role.Spec.Interval != nil {
			t.Errorf("%s is described by %+v", d.Name, d.Object)
		}
	}
	if diff := gocmp.Diff([]string{"alpha", "boss", "zeta"}, names); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	if _, err := h.previewer().Describe(t.Context(), estate, "Connection", nil); err == nil {
		t.Error("Connections are described")
	}
	nowhere := estate
	nowhere.Project = "nowhere"
	if _, err := h.previewer().Describe(t.Context(), nowhere, controllers.DescribeRoles, nil); err == nil {
		t.Error("a project that does not exist is described")
	}
}
