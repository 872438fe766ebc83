package controllers_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// randomACL draws an ACL from few names, so that two of them overlap, and says things in varying case and order.
func randomACL(r *rand.Rand) *v1alpha1.RoleACL {
	pick := func(actions ...string) []string {
		r.Shuffle(len(actions), func(i, j int) { actions[i], actions[j] = actions[j], actions[i] })
		actions = actions[:1+r.IntN(min(3, len(actions)))]
		if r.IntN(4) == 0 {
			actions[0] = strings.ToUpper(actions[0])
		}
		return actions
	}
	acl := &v1alpha1.RoleACL{}
	for i := range 4 {
		if r.IntN(2) == 0 {
			schema := []string{"default", "default", "ods"}[r.IntN(3)]
			acl.Tables = append(acl.Tables, v1alpha1.TableGrant{SchemaName: schema, Name: fmt.Sprintf("t_%d", i), Actions: pick("Describe", "Select", "Update", "Alter", "All", "Download")})
		}
	}
	if r.IntN(3) == 0 {
		acl.Resources = append(acl.Resources, v1alpha1.ResourceGrant{SchemaName: "default", Name: "lib.jar", Actions: pick("Read", "Write", "All")})
	}
	if r.IntN(3) == 0 {
		acl.Functions = append(acl.Functions, v1alpha1.FunctionGrant{SchemaName: "default", Name: "mask", Actions: pick("Read", "Execute")})
	}
	if r.IntN(4) == 0 {
		acl.Packages = append(acl.Packages, v1alpha1.PackageGrant{Name: "partner.shared", Actions: []string{"Read"}})
	}
	if r.IntN(3) == 0 {
		acl.Projects = append(acl.Projects, v1alpha1.ProjectGrant{Name: project, Actions: pick("List", "CreateInstance", "CreateTable")})
	}
	if r.IntN(4) == 0 {
		acl.Instances = append(acl.Instances, v1alpha1.InstanceGrant{Name: "*", Actions: pick("Read", "Write")})
	}
	return acl
}

// pairsOf lists what an ACL means, as "kind schema.name action" in lower case. It is written for the test alone, so that it
// cannot share a mistake with the code it checks.
func pairsOf(acl *v1alpha1.RoleACL) map[string]bool {
	full := map[string][]string{
		"table": {"alter", "describe", "drop", "select", "showhistory", "update"}, "resource": {"delete", "read", "write"},
	}
	pairs := map[string]bool{}
	add := func(kind, schema, name string, actions []string) {
		for _, action := range actions {
			list := []string{action}
			if strings.EqualFold(action, "all") {
				list = full[kind]
			}
			for _, a := range list {
				pairs[strings.ToLower(kind+" "+schema+"."+name+" "+a)] = true
			}
		}
	}
	for _, g := range acl.Tables {
		add("table", g.SchemaName, g.Name, g.Actions)
	}
	for _, g := range acl.Resources {
		add("resource", g.SchemaName, g.Name, g.Actions)
	}
	for _, g := range acl.Functions {
		add("function", g.SchemaName, g.Name, g.Actions)
	}
	for _, g := range acl.Packages {
		add("package", "default", g.Name, g.Actions)
	}
	for _, g := range acl.Projects {
		add("project", "default", g.Name, g.Actions)
	}
	for _, g := range acl.Instances {
		add("instance", "default", g.Name, g.Actions)
	}
	return pairs
}

// heldPairs lists what the fake holds for a role, in the same form.
func (h *harness) heldPairs(role string) map[string]bool {
	pairs := map[string]bool{}
	for _, g := range h.cloud.RoleGrants(project, role) {
		for _, a := range g.Actions {
			pairs[strings.ToLower(g.Kind+" "+g.SchemaName+"."+g.Name+" "+a)] = true
		}
	}
	return pairs
}

func samePairs(a, b map[string]bool) bool {
	return len(a) == len(b) && !slices.ContainsFunc(keys(a), func(k string) bool { return !b[k] })
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// checkJournal replays what the calls since the last reset changed: grants come before revocations, and nothing that both lists
// have is ever absent.
func checkJournal(t *testing.T, journal []fakecloud.Entry, before, after map[string]bool) {
	t.Helper()
	revoked := false
	for _, entry := range journal {
		for _, change := range entry.Changes {
			switch change.Change {
			case fakecloud.ChangeGrant:
				if revoked {
					t.Errorf("a grant after a revocation: %s", entry.Statement)
				}
			case fakecloud.ChangeRevoke:
				revoked = true
				for _, action := range change.Actions {
					pair := strings.ToLower(change.Kind + " " + change.SchemaName + "." + change.Name + " " + action)
					if before[pair] && after[pair] {
						t.Errorf("%s was taken away although both lists have it", pair)
					}
				}
			default:
				t.Errorf("unexpected change %s", change.Change)
			}
		}
	}
}

// TestRandomPairsConverge walks a role through 10,000 random changes of its ACL.
func TestRandomPairsConverge(t *testing.T) {
	const walkers, steps = 4, 2500
	for walker := range uint64(walkers) {
		t.Run(fmt.Sprintf("walker %d", walker), func(t *testing.T) {
			t.Parallel()
			walk(t, rand.New(rand.NewPCG(walker, 2026)), steps)
		})
	}
}

func walk(t *testing.T, r *rand.Rand, steps int) {
	h := newHarness(t)
	acl := randomACL(r)
	role := newRole("walker", acl)
	h.create(role)
	h.settle(role)
	for range steps {
		before := pairsOf(acl)
		acl = randomACL(r)
		after := pairsOf(acl)
		h.edit(role, func(o *v1alpha1.ProjectRole) { o.Spec.ACL = acl })
		h.cloud.ResetJournal()
		got := h.settle(role)
		mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if held := h.heldPairs("walker"); !samePairs(held, after) {
			t.Fatalf("held %v, want %v", keys(held), keys(after))
		}
		checkJournal(t, h.cloud.Journal(), before, after)
		if samePairs(before, after) != (len(h.cloud.Writes()) == 0) {
			t.Errorf("%d writes for a change from %v to %v", len(h.cloud.Writes()), keys(before), keys(after))
		}
		h.quiet(role)
		for len(h.events.Events) > 0 {
			<-h.events.Events
		}
		if t.Failed() {
			return
		}
	}
}
