package controllers_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
	h.cloud.ResetJournal()
	described := h.describeAll()
	if len(h.cloud.Writes()) > 0 {
		t.Fatalf("describing wrote: %v", h.cloud.Writes())
	}
	for i, d := range described {
		d.Object.SetNamespace(namespace)
		d.Object.SetName(fmt.Sprintf("object-%d", i))
		d.Object.SetUID(types.UID(fmt.Sprintf("uid-%d", i)))
		d.Object.SetGeneration(1)
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
